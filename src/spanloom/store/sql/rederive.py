"""Columns of stored spans, derived anew from what was sent.

What a view derives when it reads a span improves with every version of Spanloom. Columns are
derived when a span is written, so they are those of the version that wrote it
(`spanloom.store.sql.rows.READER`), until they are derived again. A span is written again as an
update writes it: it keeps its updates, gets a new version, and what follows from columns follows.
"""

from __future__ import annotations

import logging
from typing import NamedTuple

from sqlalchemy import select

from spanloom.model.patch import patched
from spanloom.model.prices import READ_FOR
from spanloom.store.spans import Restore
from spanloom.store.sql import rows
from spanloom.store.sql.reading import Updates, select_whole
from spanloom.store.sql.tables import bodies, spans, traces
from spanloom.store.sql.transaction import Transaction

log = logging.getLogger("spanloom.store")

# Spans a transaction: writers wait for about 20 ms.
_BATCH = 200
_BASE = (bodies.c.adapter, bodies.c.sent, bodies.c.envelope)


class Range(NamedTuple):
    """Which spans: by their start, and whether those that this version wrote are among them."""

    since_ns: int | None = None
    until_ns: int | None = None
    also_current: bool = False


class Step(NamedTuple):
    """How far a step came: the version of the last span, and how many spans it wrote again."""

    reached: int
    written: int


def step(
    transaction: Transaction, reread: Restore, which: Range, *, after: int, upto: int
) -> Step | None:
    """Derive the columns of the next spans anew; None if there are no more.

    A span whose JSON was kept in place of a message has nothing to derive columns from, and stays
    as it is. One that cannot be read is logged and stays, too.

    Args:
        reread: As `Restore`, but the columns are derived as well.
        after, upto: The versions between which spans are taken, both excluded.
    """
    found = select(spans).where(spans.c.version > after, spans.c.version < upto)
    if not which.also_current:
        found = found.where(spans.c.reader < rows.READER)
    if which.since_ns is not None:
        found = found.where(spans.c.start_ns >= which.since_ns)
    if which.until_ns is not None:
        found = found.where(spans.c.start_ns < which.until_ns)
    query = select_whole(found, ("version",), limit=_BATCH, also=("project",)).add_columns(
        *(column.label(f"base_{column.name}") for column in _BASE)
    )
    batch = transaction.connection.execute(query).fetchall()
    if not batch:
        return None
    written = 0
    for row in batch:
        if not row.adapter:
            continue
        READ_FOR.set(row.project)
        try:
            span, updates = transaction.reader.to_base(row, reread), None
            if row.updates:
                patch = Updates.of(row.updates).patch
                base, span = span, patched(span, patch)
                updates = Updates.between(base, span, patch).text()
            made = rows.updated_rows(row.project, row[-3:], span, updates)
        except Exception:
            log.exception("the columns of a span cannot be derived again: version %d", row[22])
            continue
        transaction.rewrite({spans: made.spans, bodies: made.bodies, traces: made.traces})
        written += 1
    return Step(batch[-1].span_version, written)
