"""Compares two databases by counts and digests: of spans by project and day, of other rows by
project and table."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import date, timedelta
from functools import lru_cache
from typing import Any, NamedTuple

from sqlalchemy import Connection, Table, select

from spanloom.store.sql.copying.rows import Key, end_of_part, rows_between
from spanloom.store.sql.copying.side import Side, parts, versions
from spanloom.store.sql.copying.tables import BY_KEY, PROJECT
from spanloom.store.sql.tables import attached, attachments, bodies, envelopes, spans

_DAY_NS = 86_400 * 10**9
_EPOCH = date(1970, 1, 1)
_START = spans.columns.keys().index("start_ns")
_VERSION = spans.columns.keys().index("version")


class Place(NamedTuple):
    """What is counted together: `what` is a day of spans, or the name of a table."""

    project: str
    what: str


class Sum(NamedTuple):
    """How many rows there are, and the sum of their digests: equal whatever the order."""

    rows: int = 0
    digest: int = 0

    def plus(self, digest: bytes) -> Sum:
        return Sum(self.rows + 1, (self.digest + int.from_bytes(digest)) % 2**128)


Sums = dict[Place, Sum]


def sums(side: Side, project: str, passed: Callable[[int], None]) -> Sums:
    """The sums of all that a copy of a project, or of all (""), has."""
    found: Sums = defaultdict(Sum)
    with side.engine.connect() as connection:
        for place, digest in _spans(side, connection, project, passed):
            found[place] = found[place].plus(digest)
        for table in BY_KEY:
            if project and "project" not in table.c and table not in PROJECT:
                continue
            for place, digest in _rows(connection, table, project):
                found[place] = found[place].plus(digest)
    return dict(found)


def differences(ours: Sums, theirs: Sums) -> list[str]:
    """A line for each place that differs."""
    return [
        f"project {place.project!r}, {place.what}: {one.rows:,} rows here, {other.rows:,} there"
        + (", of other content" if one.rows == other.rows else "")
        for place in sorted(ours.keys() | theirs.keys())
        if (one := ours.get(place, Sum())) != (other := theirs.get(place, Sum()))
    ]


def _spans(
    side: Side, connection: Connection, project: str, passed: Callable[[int], None]
) -> Iterable[tuple[Place, bytes]]:
    @lru_cache(maxsize=10_000)
    def content(table: Table, of_project: str, digest: bytes) -> bytes:
        """The digest of what is kept once."""
        where = (table.c.project == of_project, table.c.digest == digest)
        row = connection.execute(select(table).where(*where)).first()
        return _digest(row or ())

    after = 0
    while batch := versions(connection, project, after):
        for part in parts(side, connection, batch):
            among = side.database.among_numbers
            of_spans: dict[int, list[bytes]] = defaultdict(list)
            for row in connection.execute(
                select(attached).where(among(attached.c.span_version, part))
            ):
                digest = content(attachments, row.project, bytes(row.digest))
                of_spans[row.span_version].append(digest)
            of_part = select(bodies).where(among(bodies.c.span_version, part))
            whole = {row.span_version: row for row in connection.execute(of_part)}
            for span in connection.execute(select(spans).where(among(spans.c.version, part))):
                body = whole.get(span.version)
                envelope = b""
                if body is not None and body.envelope is not None:
                    envelope = content(envelopes, span.project, bytes(body.envelope))
                day = _EPOCH + timedelta(days=span.start_ns // _DAY_NS)
                hangs = (*sorted(of_spans[span.version]), envelope)
                yield (
                    Place(span.project, f"spans of {day}"),
                    _digest((*span, *(body or ()), *hangs)),
                )
        after = batch[-1]
        passed(len(batch))


def _rows(connection: Connection, table: Table, project: str) -> Iterable[tuple[Place, bytes]]:
    names = table.columns.keys()
    name = PROJECT.get(table, "project")
    at = names.index(name) if name in names else None
    after: Key | None = None
    while True:
        last = end_of_part(connection, table, project, after)
        for row in rows_between(connection, table, project, after, last).values():
            yield Place("" if at is None else row[at], table.name), _digest(row)
        if last is None:
            return
        after = last


def _digest(values: Iterable[Any]) -> bytes:
    """Of values in their order: each with its length, so that no two rows read alike."""
    digest = hashlib.blake2b(digest_size=16)
    for value in values:
        data = bytes(value) if isinstance(value, bytes | memoryview) else repr(value).encode()
        digest.update(b"%d:" % len(data))
        digest.update(data)
    return digest.digest()
