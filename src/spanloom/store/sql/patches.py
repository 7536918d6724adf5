"""Updates of events: patches in a table of their own, and spans written again with their patches
applied.

Both are in one transaction: that of the patch for the spans that are there, that of the span for
the patches that came before it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import Connection, Select, bindparam, delete, select

from spanloom.model.patch import joined, patched
from spanloom.store.sql import rows
from spanloom.store.sql.database import Database, Row
from spanloom.store.sql.event_ids import of_events
from spanloom.store.sql.reading import select_whole
from spanloom.store.sql.tables import bodies, patches, spans, traces
from spanloom.store.sql.transaction import Transaction

log = logging.getLogger("spanloom.store")

# More patches of one event than this are merged into one.
_MOST_PATCHES = 16
_PATCHES = (
    select(patches.c.event_id, patches.c.id, patches.c.body)
    .where(patches.c.project == bindparam("project"))
    .order_by(patches.c.sequence, patches.c.id)
)
_CANNOT = "the updates of event %r in project %r cannot be applied"


def of_event(connection: Connection, project: str, event_id: str) -> dict[str, object]:
    """All updates of one event, as one patch; {} for none."""
    found = _PATCHES.where(patches.c.event_id == event_id)
    stored = connection.execute(found, {"project": project})
    return joined(orjson.loads(row.body) for row in stored)


def apply(transaction: Transaction, project: str, event_ids: Collection[str]) -> None:
    """Write the spans of these events with their patches.

    An event whose patches cannot be applied keeps its spans as they are, and the log names it: what
    is stored of one event must not refuse the writes of others.
    """
    wanted = {"project": project, "event_ids": transaction.database.texts(event_ids)}
    found_rows = transaction.connection.execute(_of_events(transaction.database), wanted)
    of_event: dict[str, list[Any]] = {}
    for row in found_rows.fetchall():
        of_event.setdefault(row.event_id, []).append(row)
    whole: dict[str, dict[str, Any]] = {}
    for event_id, found in of_event.items():
        try:
            patch = joined(orjson.loads(row.body) for row in found)
            merged = rows.patch_row(project, event_id, patch)
        except Exception:
            log.exception(_CANNOT, event_id, project)
            continue
        whole[event_id] = patch
        if len(found) > _MOST_PATCHES:
            _replace(transaction, project, found, merged)
    if whole:
        _rewrite(transaction, project, whole)


def _rewrite(transaction: Transaction, project: str, of: dict[str, dict[str, Any]]) -> None:
    """Write the spans of events that do not have their patches yet: the columns anew, and the
    patches beside what was sent."""
    span_rows: list[Row] = []
    body_rows: list[Row] = []
    trace_rows: list[Row] = []
    found = select(spans).where(spans.c.project == project, of_events(transaction.database, of))
    base = (bodies.c.adapter, bodies.c.sent, bodies.c.envelope)
    query = select_whole(found, ()).add_columns(
        *(column.label(f"base_{column.name}") for column in base)
    )
    for row in transaction.connection.execute(query).fetchall():
        patch = of[row.event_id]
        updates = rows.json_text(patch)
        if row.updates == updates:
            continue
        try:
            whole = patched(transaction.reader.to_base(row), patch)
            made = rows.updated_rows(project, row[-3:], whole, updates)
        except Exception:
            log.exception(_CANNOT, row.event_id, project)
            continue
        if not transaction.is_own(row.span_version):
            transaction.may_change_others()
        span_rows += made.spans
        body_rows += made.bodies
        trace_rows += made.traces
    transaction.rewrite({spans: span_rows, bodies: body_rows, traces: trace_rows})


def _replace(transaction: Transaction, project: str, found: Sequence[Any], merged: Row) -> None:
    """Keep one patch of an event in place of many."""
    transaction.rewrite({patches: [merged]})
    transaction.connection.execute(
        delete(patches).where(
            patches.c.project == project,
            patches.c.event_id == found[0].event_id,
            transaction.database.among(patches.c.id, [row.id for row in found]),
        )
    )


@lru_cache(maxsize=16)
def _of_events(database: Database) -> Select[Any]:
    """The patches of all events in the parameter `event_ids`."""
    return _PATCHES.where(database.among_named(patches.c.event_id, "event_ids"))
