"""Leaves out spans that cannot meet conditions: those that are in the index by their terms, and the
others, if the bytes can tell, by a look at what was sent.

What is left is read and decided by whoever asked. So a read sees all that was acknowledged, however
far behind the index is, and a span that is not indexed costs it a tenth of reading it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress
from operator import not_
from typing import Any

from sqlalchemy import ColumnElement, Connection, func, or_, select

from spanloom.store.sql import attachments
from spanloom.store.sql.database import Database
from spanloom.store.sql.index import table, terms
from spanloom.store.sql.index.look import Look, Sent
from spanloom.store.sql.tables import bodies, envelopes, spans, term_cursor

# More candidates than this are no help: what so many spans have is soon found in their order.
MOST_CANDIDATES = 10_000
# So many spans that are not indexed yet are put in the order of the answer before one is read.
MOST_YOUNG = 20_000
# Words that have the part of a word in them.
_MOST_WORDS = 300
# Bodies that are read at once.
_AT_ONCE = 200
# What it takes to read a span, and to look at the bytes of one.
_READ_SECONDS, _LOOK_SECONDS = 100e-6, 10e-6

REACHED = select(term_cursor.c.reached).where(term_cursor.c.id == 1)
_BODIES = select(
    *(bodies.c.span_version, bodies.c.adapter, bodies.c.sent),
    *(bodies.c.envelope, bodies.c.updates),
)


def text_conditions(connection: Connection, text: str) -> list[table.Condition]:
    """What the terms of a span meet that has a text in it, as far as the index can tell."""
    asked = terms.needle(text)
    if asked.terms:
        return [[asked.terms, frozenset([terms.WIDE])]]
    if not asked.part:
        return []
    words = table.words_with(connection, asked.part, limit=_MOST_WORDS)
    if words is None:
        return []
    return [[*(frozenset([word]) for word in words), frozenset([terms.WIDE])]]


class Sieve:
    """What is left of a project's spans in one state of the database.

    Args:
        conditions: What their terms meet; none where the index cannot tell.
        looks: What their bytes meet.
    """

    def __init__(
        self,
        connection: Connection,
        database: Database,
        project: str,
        conditions: Sequence[table.Condition],
        looks: Sequence[Look] = (),
    ) -> None:
        self._connection = connection
        self._database = database
        self._project = project
        self._looks = looks
        self._envelopes: dict[bytes, bytes | None] = {}
        self._candidates: frozenset[int] | None = None
        self._reached = self._young = 0
        if not conditions:
            return
        of_project = [frozenset([terms.project_mark(project)])]
        found = table.find(connection, [*conditions, of_project], limit=MOST_CANDIDATES + 1)
        if len(found) <= MOST_CANDIDATES:
            self._candidates = frozenset(found)
            self._reached = connection.execute(REACHED).scalar_one()
            young = select(spans.c.version).where(spans.c.version >= self._reached)
            some = young.limit(MOST_YOUNG + 1).subquery()
            self._young = connection.execute(select(func.count()).select_from(some)).scalar_one()

    @property
    def few(self) -> ColumnElement[bool] | None:
        """The condition on the rows of all spans that may be left, where they are few."""
        if self._candidates is None or self._young > MOST_YOUNG:
            return None
        indexed = self._database.among_numbers(spans.c.version, self._candidates)
        return or_(indexed, spans.c.version >= self._reached) if self._young else indexed

    @property
    def seconds(self) -> float:
        """About how long it takes to read all that is left, where that is known."""
        if self._candidates is None or self._young > MOST_YOUNG:
            return float("inf")
        of_young = _LOOK_SECONDS if self._looks else _READ_SECONDS
        return len(self._candidates) * _READ_SECONDS + self._young * of_young

    @property
    def columns(self) -> list[ColumnElement[Any]]:
        """The columns of spans by which `passing` decides."""
        return [spans.c.version, *(look.columns for look in self._looks)]

    def may_pass(self, version: int) -> bool:
        """Whether a span has to be looked at."""
        return self._candidates is None or version >= self._reached or version in self._candidates

    def passing(self, rows: Iterable[Sequence[Any]]) -> set[int]:
        """The versions of those rows of `columns` whose spans are left."""
        passing: set[int] = set()
        looks_of: dict[int, list[Look]] = {}
        for version, *by_columns in rows:
            if not self.may_pass(version):
                continue
            looks = list(compress(self._looks, map(not_, by_columns)))
            if looks and (self._candidates is None or version >= self._reached):
                looks_of[version] = looks
            else:
                passing.add(version)
        versions = list(looks_of)
        for start in range(0, len(versions), _AT_ONCE):
            some = versions[start : start + _AT_ONCE]
            among = self._database.among_numbers(bodies.c.span_version, some)
            # A span without a body is damaged: whoever reads it finds that out.
            passing.update(some)
            passing.difference_update(
                version
                for version, *columns in self._connection.execute(_BODIES.where(among)).fetchall()
                if not self._may_be_wanted(version, columns, looks_of[version])
            )
        return passing

    def _may_be_wanted(self, version: int, columns: Sequence[Any], looks: Sequence[Look]) -> bool:
        sent = self._sent(version, *columns)
        return sent is None or all(look.sent(sent) for look in looks)

    def _sent(
        self, version: int, adapter: str, sent: bytes, digest: bytes | None, updates: str | None
    ) -> Sent | None:
        """What was sent, None where it is damaged."""
        envelope = b"" if digest is None else self._envelope(digest)
        if envelope is None:
            return None
        try:
            message = attachments.message(sent, version)
            return Sent(adapter, message, envelope, updates or "")
        except Exception:  # noqa: BLE001 - whatever the decoder raises
            return None

    def _envelope(self, digest: bytes) -> bytes | None:
        if digest not in self._envelopes:
            found = select(envelopes.c.content).where(
                envelopes.c.project == self._project, envelopes.c.digest == digest
            )
            self._envelopes[digest] = self._connection.execute(found).scalar()
        return self._envelopes[digest]
