"""`make fuzz ARGS=--minutes=10` tries random input on all targets, one after the other.

Where atheris is installed, it follows the branches that input takes, and keeps what took new ones
in build/fuzz for the next run; elsewhere input is changed at random. tests/data/fuzz has a
file for each target with input that takes many branches (`--keep` makes it), and a directory with
every input that once failed. What fails is written there, and ends the turn of its target;
`tests/fuzz/test_fuzz.py` tries all of it, and some new input, in each run.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import importlib.util
import random
import re
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Final

from tests.fuzz.targets import REFUSALS, TARGETS, seeds

CORPUS: Final = Path(__file__).parents[1] / "data/fuzz"
BUILD: Final = Path(__file__).parents[2] / "build/fuzz"
_ODD: Final = (b"\0", b"\xff", b'"', b"[" * 200, b"{", b"1e999", b"-0", b"\\ud800", b"NaN", b"`")
_LONGEST: Final = 1 << 16
# What one input may take, of time and in memory with the program.
_LONGEST_SECONDS: Final = 20
_MOST_MB: Final = 1024
_MOST_KEPT: Final = 100


def corpus(name: str) -> list[bytes]:
    kept = _kept(name)
    lines = kept.read_text().split() if kept.exists() else []
    failed = [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]
    return [*failed, *map(base64.b64decode, lines)]


def keep(name: str) -> int:
    """Keep in tests/data/fuzz the shortest input of build/fuzz, all of which took new branches when
    it was found; how many inputs.
    """
    found = {path.read_bytes() for path in (BUILD / name).iterdir()}
    shortest = sorted(found, key=lambda data: (len(data), data))[:_MOST_KEPT]
    lines = [base64.b64encode(data).decode() for data in shortest if data]
    _kept(name).write_text("".join(f"{line}\n" for line in lines))
    return len(lines)


def _kept(name: str) -> Path:
    """The file of a target, an input a line in base64."""
    return CORPUS / f"{name}.base64"


def changed(data: bytes, others: list[bytes], changes: random.Random) -> bytes:
    """The data with a few changes: bytes, bits, parts that are repeated, or of other input."""
    result = bytearray(data)
    for _ in range(changes.randint(1, 4)):
        place = changes.randint(0, len(result))
        end = min(len(result), place + changes.randint(0, 8))
        other = changes.choice(others)
        match changes.randrange(6):
            case 0:
                result[place:end] = changes.randbytes(changes.randint(0, 4))
            case 1 if place < len(result):
                result[place] ^= 1 << changes.randrange(8)
            case 2:
                result[place:place] = result[place:end] * changes.randint(1, 50)
            case 3:
                result[place:end] = changes.choice(_ODD)
            case 4:
                del result[place:end]
            case _:
                start = changes.randint(0, len(other))
                result[place:end] = other[start : start + changes.randint(0, 200)]
    return bytes(result[:_LONGEST])


def failure(name: str, data: bytes) -> str:
    """What a target does with input that it must not do, "" for nothing."""
    try:
        TARGETS[name](data)
    except REFUSALS:
        pass
    except Exception:  # noqa: BLE001 - what is looked for
        return traceback.format_exc()
    return ""


def by_atheris(name: str, seconds: float, directory: Path) -> tuple[int, int]:
    """Let atheris try a target for so long: how many inputs, and how many failures (0 or 1).

    `directory` has what earlier runs found worth keeping, and takes more of it.
    """
    found = directory / name
    found.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate([*seeds(name), *corpus(name)]):
        (found / f"seed-{number}").write_bytes(data)
    (CORPUS / name).mkdir(parents=True, exist_ok=True)
    options = (
        *(f"-max_total_time={max(1, round(seconds))}", "-print_final_stats=1", "-verbosity=0"),
        *(f"-timeout={_LONGEST_SECONDS}", f"-rss_limit_mb={_MOST_MB}", f"-max_len={_LONGEST}"),
        f"-artifact_prefix={CORPUS / name}/",
    )
    ran = subprocess.run(
        [sys.executable, "-m", "tests.fuzz.guided", name, *options, str(found)],
        capture_output=True,
        text=True,
        check=False,
    )
    tried = re.search(r"number_of_executed_units: (\d+)", ran.stderr)
    if ran.returncode:
        print(ran.stdout[-4000:], ran.stderr[-4000:], sep="\n", flush=True)
    return int(tried[1]) if tried else 0, int(ran.returncode != 0)


def at_random(name: str, seconds: float, changes: random.Random) -> tuple[int, int]:
    """Try a target for so long with changes at random: how many inputs, and how many failures."""
    until = time.monotonic() + seconds
    known = [*seeds(name), *corpus(name)]
    tried = 0
    while time.monotonic() < until:
        data = changed(changes.choice(known), known, changes)
        tried += 1
        if why := failure(name, data):
            path = CORPUS / name / hashlib.sha256(data).hexdigest()[:16]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            print(f"{path}\n{why}", flush=True)
            return tried, 1
        if len(known) < 1000 and changes.random() < 0.02:
            known.append(data)
    return tried, 0


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=1.0, help="for all targets together")
    options.add_argument("--seed", type=int, default=time.time_ns(), help="of changes at random")
    options.add_argument("--target", choices=TARGETS, help="only this one")
    options.add_argument("--keep", action="store_true", help="keep what build/fuzz has instead")
    given = options.parse_args()
    names = [given.target] if given.target else list(TARGETS)
    if given.keep:
        for name in names:
            print(f"{name:16} {keep(name):6} inputs", flush=True)
        return 0
    seconds = 60 * given.minutes / len(names)
    has_atheris = importlib.util.find_spec("atheris") is not None
    changes = random.Random(given.seed)
    failures = 0
    for name in names:
        if has_atheris:
            tried, failed = by_atheris(name, seconds, BUILD)
        else:
            tried, failed = at_random(name, seconds, changes)
        failures += failed
        print(f"{name:16} {tried:12,} inputs {failed:6} failures", flush=True)
    print("by atheris" if has_atheris else f"at random, seed {given.seed}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
