"""The yardstick: one connection of Python's own sqlite3, executemany of ready rows, one commit a batch."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any


class RawSqlite:
    """Takes the rows that a server has just written to `served` and writes them again to a new file by hand.

    Same tables, same indexes, same pragmas, same rows, in the same batches.
    """

    def __init__(self, served: Path) -> None:
        self._served = served

    def rate(self, messages: Sequence[Any]) -> float:
        """Events a second."""
        with sqlite3.connect(self._served) as source:
            schema = [
                sql
                for (sql,) in source.execute(
                    "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND tbl_name = 'spans' ORDER BY type DESC"
                )
            ]
            pragmas = {"journal_mode": "wal", "synchronous": "full"}
            cursor = source.execute(
                "SELECT * FROM spans WHERE kind <> 'session' ORDER BY session_id"
            )
            columns = len(cursor.description)
            rows = cursor.fetchall()
        size = len(messages[0].events)
        batches = [rows[at : at + size] for at in range(0, len(rows), size)]
        copy = self._served.with_name("raw.db")
        target = sqlite3.connect(copy, isolation_level=None)
        for name, value in pragmas.items():
            target.execute(f"PRAGMA {name} = {value}")
        for statement in schema:
            target.execute(statement)
        insert = f"INSERT INTO spans VALUES ({', '.join('?' * columns)})"
        started = time.perf_counter()
        for batch in batches:
            target.execute("BEGIN IMMEDIATE")
            target.executemany(insert, batch)
            target.execute("COMMIT")
        seconds = time.perf_counter() - started
        target.close()
        return len(rows) / seconds
