"""The yardsticks: the database's own client, one connection, ready rows; the same rows, indexes,
pragmas and batches."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path
from typing import Any

import psycopg

# What a server writes of a span before it answers, in the order of versions.
_TABLES = {
    "spans": "SELECT * FROM spans ORDER BY version",
    "bodies": "SELECT * FROM bodies ORDER BY span_version",
}
# What is written of each span on SQLite, too.
_OF_SQLITE = {"recent_event_ids": "SELECT event_id, version FROM spans ORDER BY version"}
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
                "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL "
                "AND tbl_name IN ('spans', 'bodies', 'recent_event_ids') AND type <> 'trigger' "
                "ORDER BY type DESC"
            )
        ]
        tables = _TABLES | _OF_SQLITE
        rows = {name: source.execute(query).fetchall() for name, query in tables.items()}
    source.close()
    copy = served.with_name("raw.db")
    target = sqlite3.connect(copy, isolation_level=None)
    for name, value in _PRAGMAS.items():
        target.execute(f"PRAGMA {name} = {value}")
    for statement in schema:
        target.execute(statement)
    inserts = {
        name: f"INSERT INTO {name} VALUES ({', '.join('?' * len(of_table[0]))})"
        for name, of_table in rows.items()
    }
    started = time.perf_counter()
    for at in range(0, len(rows["spans"]), size):
        target.execute("BEGIN IMMEDIATE")
        for name, insert in inserts.items():
            target.executemany(insert, rows[name][at : at + size])
        target.execute("COMMIT")
    seconds = time.perf_counter() - started
    target.close()
    copy.unlink()
    return len(rows["spans"]) / seconds


def postgres_rate(url: str, size: int) -> float:
    """Events a second of COPY into a new table, `size` a transaction, of what a server wrote to the
    database of `url`."""
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        rows: dict[str, list[Any]] = {}
        for name, query in _TABLES.items():
            rows[name] = connection.execute(query).fetchall()
            connection.execute(f"CREATE TABLE copied_{name} (LIKE {name} INCLUDING ALL)")
        started = time.perf_counter()
        for at in range(0, len(rows["spans"]), size):
            with connection.transaction(), connection.cursor() as cursor:
                for name, of_table in rows.items():
                    with cursor.copy(f"COPY copied_{name} FROM STDIN") as copy:
                        for row in of_table[at : at + size]:
                            copy.write_row(row)
        seconds = time.perf_counter() - started
        for name in rows:
            connection.execute(f"DROP TABLE copied_{name}")
    return len(rows["spans"]) / seconds
