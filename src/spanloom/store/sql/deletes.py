"""What is deleted with an event, a session or a trace."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import delete, select

from spanloom.store.sql import queries
from spanloom.store.sql.rows import NUMBERED_LATER
from spanloom.store.sql.tables import (
    deleted_spans,
    evaluations,
    feedback,
    patches,
    spans,
    traces,
)
from spanloom.store.sql.transaction import Transaction

# For so long: somewhat longer than a cursor is valid.
DELETIONS_KEPT_NS = 25 * 3600 * 10**9


def event(transaction: Transaction, project: str, event_id: str) -> bool:
    """Delete an event; whether it was there."""
    return _spans(transaction, project, spans.c.event_id == event_id)


def session(transaction: Transaction, project: str, session_id: str) -> bool:
    """Delete a session, else the trace with its id; whether one was there. If not, nothing is
    deleted."""
    of_session = spans.c.session_id == session_id
    if not (_spans(transaction, project, of_session) or trace(transaction, project, session_id)):
        return False
    _feedback_on(transaction, project, "conversation", {session_id})
    # Another trace may hold an event with this id: its updates are kept.
    own = _in(patches, project).where(patches.c.event_id == session_id, ~queries.HAS_SPANS)
    transaction.connection.execute(own)
    return True


def trace(transaction: Transaction, project: str, trace_id: str) -> bool:
    """Delete a trace; whether it was there. If not, nothing is deleted."""
    parameters = {"project": project, "trace_id": trace_id}
    if not transaction.connection.execute(queries.TRACE_EXISTS, parameters).scalar():
        return False
    log_trace(transaction, project, trace_id)
    for statement in queries.trace_deletes(project, trace_id):
        transaction.connection.execute(statement)
    return True


def log_trace(transaction: Transaction, project: str, trace_id: str) -> None:
    """Log that all spans of a trace are about to be deleted."""
    keys = select(spans.c.trace_id, spans.c.span_id)
    of_trace = keys.where(spans.c.project == project, spans.c.trace_id == trace_id)
    _log(transaction, project, transaction.connection.execute(of_trace).fetchall())


def _log(transaction: Transaction, project: str, keys: Iterable[Sequence[str]]) -> None:
    """Write deletions to the log of changes, and drop those that no valid cursor asks for."""
    now = time.time_ns()
    old = delete(deleted_spans).where(deleted_spans.c.deleted_ns < now - DELETIONS_KEPT_NS)
    transaction.connection.execute(old)
    found = [[project, *key[:2], NUMBERED_LATER, now] for key in keys]
    if found:
        transaction.rewrite({deleted_spans: found})


def remove_spans(
    transaction: Transaction, project: str, found: Sequence[Sequence[str]]
) -> set[str]:
    """Delete spans (trace id, span id, event id), the rows of traces that lost their last span, and
    what waits to be evaluated of either.

    Returns:
        The ids of those traces.
    """
    database, connection = transaction.database, transaction.connection
    _log(transaction, project, found)
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


def _spans(transaction: Transaction, project: str, which: Any) -> bool:
    """Delete spans, patches and feedback on them, and feedback on traces that lost their last
    span."""
    connection = transaction.connection
    keys = select(spans.c.trace_id, spans.c.span_id, spans.c.event_id)
    found = connection.execute(keys.where(spans.c.project == project, which)).fetchall()
    if not found:
        return False
    gone = remove_spans(transaction, project, found)
    trace_ids, span_ids, event_ids = map(set, zip(*found, strict=True))
    of_events = transaction.database.among(patches.c.event_id, event_ids)
    connection.execute(_in(patches, project).where(of_events, ~queries.HAS_SPANS))
    _feedback_on(transaction, project, "span", span_ids, ("", *trace_ids))
    _feedback_on(transaction, project, "trace", gone)
    return True


def _feedback_on(
    transaction: Transaction,
    project: str,
    target: str,
    ids: Collection[str],
    trace_ids: Collection[str] = (),
) -> None:
    database = transaction.database
    on_these = _in(feedback, project).where(
        feedback.c.target == target, database.among(feedback.c.target_id, ids)
    )
    if trace_ids:
        on_these = on_these.where(database.among(feedback.c.trace_id, trace_ids))
    transaction.connection.execute(on_these)


def _in(table: Any, project: str) -> Any:
    return delete(table).where(table.c.project == project)
