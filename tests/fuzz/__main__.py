"""`make fuzz ARGS=--minutes=10` tries random input on all targets, for so long.

tests/data/fuzz has a directory for each target, with every input that once failed. What fails is
written there; `tests/fuzz/test_fuzz.py` tries all of it, and some new input, in each run.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import random
import sys
import time
import traceback
from pathlib import Path
from typing import Final

from tests.fuzz.targets import REFUSALS, TARGETS, seeds

CORPUS: Final = Path(__file__).parents[1] / "data/fuzz"
_ODD: Final = (b"\0", b"\xff", b'"', b"[" * 200, b"{", b"1e999", b"-0", b"\\ud800", b"NaN", b"`")
_LONGEST: Final = 1 << 16


def corpus(name: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted((CORPUS / name).glob("*"))]


def changed(data: bytes, others: list[bytes], at_random: random.Random) -> bytes:
    """The data with a few changes: bytes, bits, parts that are repeated, or of other input."""
    result = bytearray(data)
    for _ in range(at_random.randint(1, 4)):
        place = at_random.randint(0, len(result))
        end = min(len(result), place + at_random.randint(0, 8))
        other = at_random.choice(others)
        match at_random.randrange(6):
            case 0:
                result[place:end] = at_random.randbytes(at_random.randint(0, 4))
            case 1 if place < len(result):
                result[place] ^= 1 << at_random.randrange(8)
            case 2:
                result[place:place] = result[place:end] * at_random.randint(1, 50)
            case 3:
                result[place:end] = at_random.choice(_ODD)
            case 4:
                del result[place:end]
            case _:
                start = at_random.randint(0, len(other))
                result[place:end] = other[start : start + at_random.randint(0, 200)]
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


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--minutes", type=float, default=1.0)
    options.add_argument("--seed", type=int, default=time.time_ns())
    given = options.parse_args()
    at_random = random.Random(given.seed)
    known = {name: [*seeds(name), *corpus(name)] for name in TARGETS}
    found: dict[str, int] = dict.fromkeys(TARGETS, 0)
    tried = dict.fromkeys(TARGETS, 0)
    until = time.monotonic() + 60 * given.minutes
    for name in itertools.cycle(TARGETS):
        if time.monotonic() > until:
            break
        for _ in range(200):
            data = changed(at_random.choice(known[name]), known[name], at_random)
            tried[name] += 1
            if why := failure(name, data):
                found[name] += 1
                path = CORPUS / name / hashlib.sha256(data).hexdigest()[:16]
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(data)
                print(f"{path}\n{why}", flush=True)
                if found[name] >= 10:
                    return 1
            elif len(known[name]) < 1000 and at_random.random() < 0.02:
                known[name].append(data)
    print(f"seed {given.seed}")
    for name, number in tried.items():
        print(f"{name:16} {number:10,} inputs {found[name]:6} failures")
    return 1 if any(found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
