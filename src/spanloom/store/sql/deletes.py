"""What goes with an event or a session that is removed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import Connection, and_, delete, func, select

from spanloom.store.sql.dialect import Database
from spanloom.store.sql.tables import evaluations, feedback, patches, spans, traces


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


def superseded(
    database: Database, connection: Connection, project: str, event_ids: Collection[str]
) -> None:
    """Remove what was created before under these events' ids in other traces; what was said of them stays."""
    newest = (
        select(spans.c.event_id, func.max(spans.c.version))
        .where(spans.c.project == project, database.among(spans.c.event_id, event_ids))
        .group_by(spans.c.event_id)
    )
    for event_id, version in connection.execute(newest).fetchall():
        of_event = and_(spans.c.event_id == event_id, spans.c.span_id == event_id)
        found = _find(connection, project, and_(of_event, spans.c.version < version))
        if found:
            _remove(database, connection, project, found)


def _spans(database: Database, connection: Connection, project: str, which: Any) -> bool:
    """Remove spans, patches and feedback on them, and on traces that lost their last span."""
    found = _find(connection, project, which)
    if not found:
        return False
    gone = _remove(database, connection, project, found)
    trace_ids, span_ids, event_ids = map(set, zip(*found, strict=True))
    connection.execute(_in(patches, project).where(database.among(patches.c.event_id, event_ids)))
    _said_of(database, connection, project, "span", span_ids, ("", *trace_ids))
    _said_of(database, connection, project, "trace", gone)
    return True


def _find(connection: Connection, project: str, which: Any) -> Sequence[Any]:
    """Trace id, span id and event id of spans."""
    keys = select(spans.c.trace_id, spans.c.span_id, spans.c.event_id)
    return connection.execute(keys.where(spans.c.project == project, which)).fetchall()


def _remove(
    database: Database, connection: Connection, project: str, found: Sequence[Any]
) -> set[str]:
    """Remove spans, the rows of traces that lost their last span, and what waits to be evaluated of either; those traces' ids."""
    of_trace: dict[str, set[str]] = {}
    for trace_id, span_id, _ in found:
        of_trace.setdefault(trace_id, set()).add(span_id)
    for table in (spans, evaluations):
        for trace_id, span_ids in of_trace.items():
            in_trace = (table.c.trace_id == trace_id, database.among(table.c.span_id, span_ids))
            connection.execute(_in(table, project).where(*in_trace))
    left = select(spans.c.trace_id).where(
        spans.c.project == project, database.among(spans.c.trace_id, of_trace)
    )
    gone = of_trace.keys() - set(connection.execute(left.distinct()).scalars())
    for table in (traces, evaluations):
        connection.execute(_in(table, project).where(database.among(table.c.trace_id, gone)))
    return gone


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
