"""Check the promises of writes for as long as you like: `python -m tests.history --minutes 60`, or
for so many kills on each database: `--kills 500`.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Mapping
from functools import partial
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.databases import DATABASES, new_url
from tests.history.run import SKEW, run

# A run for kills: servers just come up between them, most of its time is not for the reads at the
# end of a round, and few clients leave few calls without an answer.
MANY_KILLS: Mapping[str, Any] = {
    "between_kills": (0.3, 1.2),
    "round_seconds": 120.0,
    "clients": 3,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.history", description=__doc__)
    parser.add_argument("--minutes", type=float, help="for all databases together (10)")
    parser.add_argument("--kills", type=int, help="end after so many, however long it takes")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--database", choices=DATABASES, help="only this one")
    parser.add_argument(
        "--skew", type=float, default=SKEW, help="how many seconds one server's clock is behind"
    )
    parser.add_argument("--report", type=Path, help="a file that takes the report, too")
    given = parser.parse_args()
    databases = [given.database] if given.database else DATABASES
    # A run for kills ends early only if minutes are given, too.
    minutes = given.minutes or (inf if given.kills else 10.0)
    seconds = 60 * minutes / len(databases)
    is_clean = True
    for database in databases:
        with TemporaryDirectory(prefix="spanloom-history-") as directory:
            found = run(
                new_url(database, Path(directory)),
                Path(directory),
                seed=given.seed,
                seconds=seconds,
                most_kills=given.kills or inf,
                **(MANY_KILLS if given.kills else {}),
                skew=given.skew,
                progress=partial(print, f"{database}:", flush=True),
            )
        text = f"{database}, {found}"
        print(text, flush=True)
        if given.report:
            with given.report.open("a") as file:
                file.write(text + "\n")
        is_clean = is_clean and found.is_clean
    return 0 if is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
