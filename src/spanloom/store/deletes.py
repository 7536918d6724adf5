"""What goes with an event or a session that is removed."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from sqlalchemy import Connection, delete, select

from spanloom.store.dialect import Database
from spanloom.store.tables import evaluations, feedback, patches, spans, traces


def event(database: Database, connection: Connection, project: str, event_id: str) -> bool:
    """Remove an event; whether it was there."""
    return _spans(database, connection, project, spans.c.event_id == event_id)


def session(database: Database, connection: Connection, project: str, session_id: str) -> bool:
    """Remove a session; whether it was there."""
    of_session = spans.c.session_id == session_id
    found = _spans(database, connection, project, of_session)
    _said_of(database, connection, project, "conversation", {session_id})
    connection.execute(_in(patches, project).where(patches.c.event_id == session_id))
    return found


def _spans(database: Database, connection: Connection, project: str, which: Any) -> bool:
    """Remove spans, what waits to be evaluated of them, patches and feedback on them, and the rows of traces that lost their
    last span."""
    keys = select(spans.c.trace_id, spans.c.span_id, spans.c.event_id)
    found = connection.execute(keys.where(spans.c.project == project, which)).fetchall()
    if not found:
        return False
    trace_ids, span_ids, event_ids = map(set, zip(*found, strict=True))
    connection.execute(_in(spans, project).where(which))
    connection.execute(_in(patches, project).where(database.among(patches.c.event_id, event_ids)))
    connection.execute(
        _in(evaluations, project).where(
            database.among(evaluations.c.trace_id, trace_ids),
            database.among(evaluations.c.span_id, span_ids),
        )
    )
    _said_of(database, connection, project, "span", span_ids, ("", *trace_ids))
    left = select(spans.c.trace_id).where(
        spans.c.project == project, database.among(spans.c.trace_id, trace_ids)
    )
    gone = trace_ids - set(connection.execute(left.distinct()).scalars())
    connection.execute(_in(traces, project).where(database.among(traces.c.trace_id, gone)))
    _said_of(database, connection, project, "trace", gone)
    return True


def _said_of(
    database: Database,
    connection: Connection,
    project: str,
    target: str,
    ids: Collection[str],
    trace_ids: Collection[str] = (),
) -> None:
    said = _in(feedback, project).where(
        feedback.c.target == target, database.among(feedback.c.target_id, ids)
    )
    if trace_ids:
        said = said.where(database.among(feedback.c.trace_id, trace_ids))
    connection.execute(said)


def _in(table: Any, project: str) -> Any:
    return delete(table).where(table.c.project == project)
