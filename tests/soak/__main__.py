"""Mixed load for hours, with kills: `make soak ARGS=--hours=1`. Writes build/soak/report.md,
build/soak/soak.svg, and soak.png where a Chromium is installed.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.databases import DATABASES, new_url
from tests.soak import plot
from tests.soak.report import markdown, panels
from tests.soak.run import run

_BUILD = Path(__file__).resolve().parents[2] / "build/soak"
_SAMPLES = 360


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--hours", type=float)
    length.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--database", choices=DATABASES, default=DATABASES[0])
    parser.add_argument("--rate", type=float, default=200.0, help="spans written a second")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--directory", type=Path, default=_BUILD, help="takes the report")
    given = parser.parse_args()
    seconds = 3600 * given.hours if given.hours else 60 * given.minutes
    given.directory.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix="spanloom-soak-") as directory:
        result = run(
            new_url(given.database, Path(directory)),
            given.directory,
            seed=given.seed,
            seconds=seconds,
            rate=given.rate,
            every=max(1.0, seconds / _SAMPLES),
            progress=lambda line: print(line, flush=True),
        )
    report = markdown(result)
    (given.directory / "report.md").write_text(report)
    title = f"{seconds / 60:.0f} minutes on {given.database}; vertical lines are kills"
    drawn = plot.svg(panels(result), [moment for moment, _ in result.kills], title)
    (given.directory / "soak.svg").write_text(drawn)
    if chromium := shutil.which("chromium") or shutil.which("google-chrome"):
        plot.png(drawn, given.directory / "soak.png", chromium)
    print(report)
    return 0 if result.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
