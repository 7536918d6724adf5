"""Where the terms of spans are kept: `span_terms`, a row for each version of a span; and `words`,
each word that was ever indexed, in which a part of a word is looked for.

SQLite has a contentless FTS5 table, from which nothing can be deleted one by one before SQLite
3.43. PostgreSQL has a GIN index over hashes of terms.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from hashlib import blake2b
from typing import cast

import orjson
from sqlalchemy import Connection

# The terms of a condition: all of one of the sets.
Condition = Sequence[frozenset[str]]


def add(connection: Connection, terms_of: Mapping[int, Collection[str]]) -> None:
    """Add the terms of versions of spans. A version that is there already is left as it is."""
    if _is_sqlite(connection):
        raw = cast("sqlite3.Connection", connection.connection.dbapi_connection)
        rows = [(version, " ".join(terms)) for version, terms in terms_of.items()]
        raw.executemany("INSERT INTO span_terms (rowid, terms) VALUES (?, ?)", rows)
        return
    records = [{"v": version, "t": list(map(_code, terms))} for version, terms in terms_of.items()]
    connection.exec_driver_sql(
        "INSERT INTO span_terms (version, terms) SELECT v, t FROM "
        "json_to_recordset(%s::json) AS r (v bigint, t bigint[]) ON CONFLICT DO NOTHING",
        (orjson.dumps(records).decode(),),
    )


def add_words(connection: Connection, words: Collection[str]) -> None:
    """Note words, in their order: then rows that lie side by side are written together."""
    document = orjson.dumps(sorted(words)).decode()
    if _is_sqlite(connection):
        connection.exec_driver_sql(
            "INSERT OR IGNORE INTO words (word) SELECT value FROM json_each(?)", (document,)
        )
    else:
        connection.exec_driver_sql(
            "INSERT INTO words (word) SELECT json_array_elements_text(%s::json) "
            "ON CONFLICT DO NOTHING",
            (document,),
        )


def words_with(connection: Connection, part: str, *, limit: int) -> list[str]:
    """Words that have a text in them, at most `limit`."""
    inside = "instr(word, ?)" if _is_sqlite(connection) else "strpos(word, %s)"
    statement = f"SELECT word FROM words WHERE {inside} > 0 LIMIT {limit}"  # noqa: S608 - a number
    return list(connection.exec_driver_sql(statement, (part,)).scalars())


def find(connection: Connection, conditions: Sequence[Condition], *, limit: int) -> list[int]:
    """Versions whose terms meet all conditions, the newest first, at most `limit`."""
    if _is_sqlite(connection):
        asked = " AND ".join(
            "(" + " OR ".join(map(_conjunction, condition)) + ")" for condition in conditions
        )
        found = connection.exec_driver_sql(
            "SELECT rowid FROM span_terms WHERE span_terms MATCH ? ORDER BY rowid DESC LIMIT ?",
            (asked, limit),
        )
        return list(found.scalars())
    where, values = [], []
    for condition in conditions:
        single = [_code(*terms) for terms in condition if len(terms) == 1]
        several = [list(map(_code, terms)) for terms in condition if len(terms) > 1]
        tests = ["terms && %s::bigint[]"] * bool(single) + ["terms @> %s::bigint[]"] * len(several)
        where.append("(" + " OR ".join(tests) + ")")
        values += [single] * bool(single) + several
    # The order is made afterwards: with a LIMIT the planner may go through the primary key, which
    # is in this order.
    statement = (
        "WITH found AS MATERIALIZED (SELECT version FROM span_terms "  # noqa: S608 - no values
        f"WHERE {' AND '.join(where)}) SELECT version FROM found ORDER BY version DESC LIMIT %s"
    )
    return list(connection.exec_driver_sql(statement, (*values, limit)).scalars())


def clear(connection: Connection) -> None:
    """Forget all terms and words."""
    if _is_sqlite(connection):
        connection.exec_driver_sql("INSERT INTO span_terms (span_terms) VALUES ('delete-all')")
    else:
        connection.exec_driver_sql("DELETE FROM span_terms")
    connection.exec_driver_sql("DELETE FROM words")


def _is_sqlite(connection: Connection) -> bool:
    return connection.dialect.name == "sqlite"


def _conjunction(terms: frozenset[str]) -> str:
    # A term has no quote: it is a word or a mark.
    return "(" + " AND ".join(f'"{term}"' for term in sorted(terms)) + ")"


def _code(term: str) -> int:
    return int.from_bytes(blake2b(term.encode(), digest_size=8).digest(), signed=True)
