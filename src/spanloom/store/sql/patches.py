"""Updates of events: patches beside the spans, and spans written again with their patches applied.

No lock and no update in place is needed. A patch is committed before the spans of its event are looked for, and a span before
the patches of its event: of two writers at once, the later one sees both. A span with its patches has the version that follows
the one it was made from, so that it never goes before a newer create; whoever applied patches looks again until nothing is left
to do.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection, delete, select

from spanloom.model import Span
from spanloom.model.patch import joined, patched
from spanloom.store.sql import rows
from spanloom.store.sql.dialect import Database, Row
from spanloom.store.sql.tables import patches, spans, traces

# So many patches of one event are made one.
_MOST_PATCHES = 16


def any_of(
    database: Database, connection: Connection, project: str, event_ids: Collection[str]
) -> list[str]:
    """Those of the events that have patches."""
    found = select(patches.c.event_id).where(
        patches.c.project == project, database.among(patches.c.event_id, event_ids)
    )
    return list(connection.execute(found.distinct()).scalars())


def of_event(connection: Connection, project: str, event_id: str) -> dict[str, object]:
    """All that was said of one event, as one patch; {} for nothing."""
    return joined(orjson.loads(row.body) for row in _patches(connection, project, event_id))


def apply(
    database: Database, connection: Connection, project: str, event_ids: Collection[str]
) -> bool:
    """Write the spans of these events with their patches; whether one was written."""
    of = {}
    for event_id in event_ids:
        found = _patches(connection, project, event_id)
        if found:
            of[event_id] = joined(orjson.loads(row.body) for row in found)
        if len(found) > _MOST_PATCHES:
            whole = rows.patch_row(project, event_id, of[event_id], found[-1].sequence)
            database.upsert(connection, patches, [whole])
            ids = [row.id for row in found]
            connection.execute(
                delete(patches).where(
                    patches.c.project == project,
                    patches.c.event_id == event_id,
                    database.among(patches.c.id, ids),
                )
            )
    span_rows: list[Row] = []
    trace_rows: list[Row] = []
    query = select(*rows.SPAN_COLUMNS, spans.c.version).where(
        spans.c.project == project, database.among(spans.c.event_id, of)
    )
    for *values, version in connection.execute(query).fetchall():
        span = rows.to_span(values)
        whole_span: Span = patched(span, of[span.event_id])
        if whole_span != span:
            made, of_trace, _ = rows.span_rows(project, [whole_span], version + 1)
            span_rows += made
            trace_rows += of_trace
    if span_rows:
        database.upsert(connection, spans, span_rows)
        database.upsert(connection, traces, trace_rows)
    return bool(span_rows)


def _patches(connection: Connection, project: str, event_id: str) -> Sequence[Any]:
    return connection.execute(
        select(patches.c.id, patches.c.sequence, patches.c.body)
        .where(patches.c.project == project, patches.c.event_id == event_id)
        .order_by(patches.c.sequence, patches.c.id)
    ).fetchall()
