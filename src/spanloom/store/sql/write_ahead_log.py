"""SQLite's write-ahead log, as https://www.sqlite.org/fileformat2.html describes it (section 4).

SQLite reads the log up to the first frame whose checksum is wrong, and ignores the rest without a
word.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import struct
from contextlib import closing, suppress
from pathlib import Path
from typing import Final, NamedTuple

log = logging.getLogger("spanloom.store")

_HEADER: Final = struct.Struct(">8I")  # magic, version, page size, sequence, salts, checksums
_FRAME: Final = struct.Struct(">2I8s")  # page, pages after a commit, salts
_FRAME_BYTES: Final = 24
_SALTS: Final = slice(16, 24)  # of the header
_LITTLE: Final = 0x377F0682
_BIG: Final = 0x377F0683
_MOST_FRAMES: Final = 1_000_000


class Frames(NamedTuple):
    """The frames that the log has: their salts, the place of the last one, and of the last one that
    is a commit (from 1; 0 for none)."""

    salts: bytes
    number: int
    last_commit: int


def frames(path: Path) -> Frames | None:
    """What a log has, whether its checksums are right or not; None where there is no log."""
    try:
        file = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        head = os.pread(file, _HEADER.size, 0)
        if len(head) < _HEADER.size:
            return None
        page_size = _HEADER.unpack(head)[2]
        step = _FRAME_BYTES + (page_size if page_size > 1 else 65_536)
        # With a header that is damaged SQLite ignores all frames: then it is for them to say whose
        # they are.
        first = os.pread(file, _FRAME.size, _HEADER.size)
        salts = head[_SALTS] if _is_whole(head) else first[8:]
        number = last_commit = 0
        whole = (os.fstat(file).st_size - _HEADER.size) // step
        for place in range(min(whole, _MOST_FRAMES)):
            frame = os.pread(file, _FRAME.size, _HEADER.size + place * step)
            _, pages, its_salts = _FRAME.unpack(frame)
            if its_salts == salts:  # else it is of an earlier log in the same file
                number = place + 1
                last_commit = number if pages else last_commit
        return Frames(salts, number, last_commit)
    finally:
        os.close(file)


def report_damage(database: Path) -> None:
    """Log how many frames of the log SQLite drops, if it does. Call it before anybody writes."""
    path = Path(f"{database}-wal")
    before = frames(path)
    if before is None or not before.last_commit:
        return
    with suppress(sqlite3.Error), closing(sqlite3.connect(database)) as connection:
        _, read, _ = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        after = frames(path)
        # Another process may have begun the log anew, or written more of it.
        if after is None or after.salts != before.salts or read >= before.last_commit:
            return
        log.error(
            "the write-ahead log %s is damaged: SQLite read %d of its %d frames and dropped the"
            " others, with the last transactions; if they matter, restore a backup"
            ' (docs/deployment.md, "Backup while running")',
            *(path, max(0, read), before.number),
        )


def _is_whole(head: bytes) -> bool:
    """Whether the header's checksum is right."""
    magic = int.from_bytes(head[:4], "big")
    if magic not in (_LITTLE, _BIG):
        return False
    words = struct.unpack("<6I" if magic == _LITTLE else ">6I", head[:24])
    first = second = 0
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return struct.unpack(">2I", head[24:32]) == (first, second)
