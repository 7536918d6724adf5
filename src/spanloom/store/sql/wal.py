"""What a damaged write-ahead log of SQLite has lost.

SQLite reads the log up to the first frame whose checksum is wrong, and drops the rest without a
word. A process that is killed leaves no such frame before a commit; a failing disk, and a copy of a
file that is in use, may.
"""

from __future__ import annotations

import logging
import sqlite3
import struct
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

log = logging.getLogger("spanloom.store")

_HEADER, _FRAME = 32, 24
_SALTS = slice(16, 24)


def report_dropped(file: Path) -> None:
    """Log how many transactions SQLite drops when it reads the log of a database, if any."""
    ahead = Path(f"{file}-wal")
    if not file.exists() or not ahead.exists():
        return
    try:
        before, commits = _commits(ahead)
        with closing(sqlite3.connect(file)) as connection:
            _, kept, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
            after, _ = _commits(ahead)
    except (OSError, sqlite3.Error, struct.error):
        return  # whoever uses the database next is told
    dropped = sum(frame > kept for frame in commits)
    # With other salts, another process has begun the log anew meanwhile.
    if dropped and before == after:
        log.error(
            "the write-ahead log is damaged after frame %d: SQLite dropped %d transactions that may"
            " have been acknowledged; docs/deployment.md says how to restore a backup",
            kept,
            dropped,
        )


def _commits(ahead: Path) -> tuple[bytes, Sequence[int]]:
    """The salts of a log, and the numbers of its frames that end a transaction."""
    with ahead.open("rb") as file:
        header = file.read(_HEADER)
        (page,) = struct.unpack(">I", header[8:12])
        found = []
        number = 0
        while len(frame := file.read(_FRAME)) == _FRAME:
            number += 1
            _, pages_after_commit = struct.unpack(">II", frame[:8])
            # Frames of an earlier turn of the log have other salts.
            if pages_after_commit and frame[8:16] == header[_SALTS]:
                found.append(number)
            file.seek(page, 1)
    return header[_SALTS], found
