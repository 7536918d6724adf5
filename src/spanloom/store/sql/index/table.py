"""Where the terms of spans are kept: `span_terms`, a row for each version of a span; and `words`,
in which a part of a word is looked for.

SQLite has a contentless FTS5 table, from which nothing can be deleted one by one before SQLite
3.43. PostgreSQL has a GIN index over checksums of terms.

`words` has each word without digits that was ever indexed. Of a word with digits, which is often an
id that nobody repeats, it has the runs of at least three letters, marked as parts: where a part of
a word is in one of them, the words that it is in are not known.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from typing import cast
from zlib import crc32

import orjson
from sqlalchemy import Connection

from spanloom.store.sql.index.terms import MARK, Terms

# The terms of a condition: all of one of the sets.
Condition = Sequence[frozenset[str]]

# Parts of fewer letters are in so many words that the index is no help.
SHORTEST_PART = 3
_DIGITS = re.compile(rb"[0-9]")
_LETTERS = re.compile(rb"[^0-9]{%d,}" % SHORTEST_PART)


def add(connection: Connection, terms_of: Mapping[int, Terms]) -> None:
    """Add the terms of versions of spans, none of which is there already."""
    if _is_sqlite(connection):
        raw = cast("sqlite3.Connection", connection.connection.dbapi_connection)
        rows = [(version, _document(terms)) for version, terms in terms_of.items()]
        raw.executemany("INSERT INTO span_terms (rowid, terms) VALUES (?, ?)", rows)
        return
    records = [
        {"v": version, "t": [*map(_signed, {*terms.marks, *map(crc32, terms.words)})]}
        for version, terms in terms_of.items()
    ]
    connection.exec_driver_sql(
        "INSERT INTO span_terms (version, terms) SELECT v, t FROM "
        "json_to_recordset(%s::json) AS r (v bigint, t integer[])",
        (orjson.dumps(records).decode(),),
    )


def noted(words: set[bytes], known: set[bytes]) -> set[bytes]:
    """What `words` has of these words, those that are known left out: words, and parts of words
    with a hyphen before them."""
    found = set()
    for word in words - known:
        if not _DIGITS.search(word):
            found.add(word)
        elif parts := _LETTERS.findall(word):
            found.update([b"-" + part for part in parts])
    return found - known


def add_words(connection: Connection, words: Collection[bytes]) -> None:
    """Note what `noted` found, in its order: then rows that lie side by side are written
    together."""
    document = orjson.dumps(sorted(word.decode(errors="replace") for word in words)).decode()
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


def words_with(connection: Connection, part: str, *, limit: int) -> list[str] | None:
    """The words that have a text in them; None where there are more than `limit`, or not all of
    them are known."""
    if _DIGITS.search(part.encode()) or len(part.encode()) < SHORTEST_PART:
        return None
    inside = "instr(word, ?)" if _is_sqlite(connection) else "strpos(word, %s)"
    statement = f"SELECT word FROM words WHERE {inside} > 0 LIMIT {limit + 1}"  # noqa: S608
    found = list(connection.exec_driver_sql(statement, (part,)).scalars())
    if len(found) > limit or any(word.startswith("-") for word in found):
        return None
    return found


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
        tests = ["terms && %s::integer[]"] * bool(single) + ["terms @> %s::integer[]"] * len(
            several
        )
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


def _document(terms: Terms) -> str:
    """What FTS5 takes the terms from."""
    marks = f" {MARK}%x" * len(terms.marks) % tuple(terms.marks)
    return b" ".join(terms.words).decode(errors="replace") + marks


def _conjunction(terms: frozenset[str]) -> str:
    # A term has no quote: it is a word or a mark.
    return "(" + " AND ".join(f'"{term}"' for term in sorted(terms)) + ")"


def _code(term: str) -> int:
    if term.startswith(MARK):
        return _signed(int(term[len(MARK) :], 16))
    return _signed(crc32(term.encode(errors="replace")))


def _signed(number: int) -> int:
    return number - (1 << 32) if number >= 1 << 31 else number
