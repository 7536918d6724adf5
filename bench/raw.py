"""The yardsticks: the database's own client, one connection, ready rows; the same rows, indexes,
pragmas and batches."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

import psycopg

# As src/spanloom/store/sql/sqlite.py sets them.
_PRAGMAS = {
    "page_size": 8192,
    "journal_mode": "wal",
    "synchronous": "full",
    "wal_autocheckpoint": 4000,
    "cache_size": -65536,
}


def sqlite_rate(served: Path, size: int) -> float:
    """Events a second of executemany into a new file, `size` a transaction, of what a server wrote
    to the file `served`."""
    with sqlite3.connect(served) as source:
        schema = [
            sql
            for (sql,) in source.execute(
                "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND tbl_name = 'spans' ORDER BY type DESC"
            )
        ]
        rows = source.execute("SELECT * FROM spans ORDER BY session_id").fetchall()
    source.close()
    copy = served.with_name("raw.db")
    target = sqlite3.connect(copy, isolation_level=None)
    for name, value in _PRAGMAS.items():
        target.execute(f"PRAGMA {name} = {value}")
    for statement in schema:
        target.execute(statement)
    insert = f"INSERT INTO spans VALUES ({', '.join('?' * len(rows[0]))})"
    started = time.perf_counter()
    for batch in _batches(rows, size):
        target.execute("BEGIN IMMEDIATE")
        target.executemany(insert, batch)
        target.execute("COMMIT")
    seconds = time.perf_counter() - started
    target.close()
    copy.unlink()
    return len(rows) / seconds


def postgres_rate(url: str, size: int) -> float:
    """Events a second of COPY into a new table, `size` a transaction, of what a server wrote to the
    database of `url`."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        rows = connection.execute("SELECT * FROM spans ORDER BY session_id").fetchall()
        connection.execute("CREATE TABLE copied (LIKE spans INCLUDING ALL)")
        started = time.perf_counter()
        for batch in _batches(rows, size):
            with (
                connection.transaction(),
                connection.cursor() as cursor,
                cursor.copy("COPY copied FROM STDIN") as copy,
            ):
                for row in batch:
                    copy.write_row(row)
        seconds = time.perf_counter() - started
        connection.execute("DROP TABLE copied")
    return len(rows) / seconds


def _batches(rows: list[Any], size: int) -> list[list[Any]]:
    return [rows[at : at + size] for at in range(0, len(rows), size)]
