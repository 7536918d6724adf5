"""What is deleted with an event, a session or a trace."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import delete, func, select

from spanloom import errors
from spanloom.store.sql import queries, sessions
from spanloom.store.sql.event_ids import of_events
from spanloom.store.sql.patches import traces_with
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

_KEYS = (spans.c.trace_id, spans.c.span_id, spans.c.event_id)
# For so long: somewhat longer than a cursor is valid.
DELETIONS_KEPT_NS = 25 * 3600 * 10**9


def event(
    transaction: Transaction, project: str, event_id: str, trace_id: str = ""
) -> bool | errors.SpanloomError:
    """Delete an event in the trace, or in the one trace that has it; whether it was there, or the
    error where several traces have it."""
    of_event = of_events(transaction.database, [event_id])
    if trace_id:
        return _spans(transaction, project, of_event & (spans.c.trace_id == trace_id))
    having = traces_with(transaction, project, event_id)
    if len(having) > 1:
        return errors.ambiguous_event(event_id)
    return _spans(transaction, project, of_event)


def session(transaction: Transaction, project: str, session_id: str) -> bool:
    """Delete a session, else the trace with its id; whether one was there. If not, nothing is
    deleted."""
    of_session = sessions.belongs(transaction.connection, transaction.database, project, session_id)
    if not (_spans(transaction, project, of_session) or trace(transaction, project, session_id)):
        return False
    feedback_on(transaction, project, "conversation", {session_id})
    # Another trace may hold an event with this id: its updates are kept.
    has_spans = queries.has_spans(transaction.database)
    own = _in(patches, project).where(
        patches.c.event_id == session_id, patches.c.trace_id == "", ~has_spans
    )
    transaction.connection.execute(own)
    return True


def trace(transaction: Transaction, project: str, trace_id: str) -> bool:
    """Delete a trace; whether it was there. If not, nothing is deleted."""
    parameters = {"project": project, "trace_id": trace_id}
    if not transaction.connection.execute(queries.TRACE_EXISTS, parameters).scalar():
        return False
    log_trace(transaction, project, trace_id)
    for statement in queries.trace_deletes(transaction.database, project, trace_id):
        transaction.connection.execute(statement)
    return True


def trace_spans(transaction: Transaction, project: str, trace_id: str) -> int | None:
    """Delete a trace as `trace` does; how many spans it had, None where it was not there."""
    number = transaction.connection.execute(
        select(func.count()).where(spans.c.project == project, spans.c.trace_id == trace_id)
    ).scalar_one()
    return int(number) if trace(transaction, project, trace_id) else None


def named_spans(transaction: Transaction, project: str, keys: Collection[tuple[str, str]]) -> int:
    """Delete spans by (trace id, span id), and updates that wait for one of them; how many there
    were."""
    database, connection = transaction.database, transaction.connection
    trace_ids, span_ids = ({key[n] for key in keys} for n in (0, 1))
    found = [
        row
        for row in connection.execute(
            select(*_KEYS).where(
                spans.c.project == project,
                database.among(spans.c.trace_id, trace_ids),
                database.among(spans.c.span_id, span_ids),
            )
        )
        if (row.trace_id, row.span_id) in keys
    ]
    if found:
        remove(transaction, project, found)
    _updates_under(transaction, project, keys)
    return len(found)


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
    found = transaction.connection.execute(
        select(*_KEYS).where(spans.c.project == project, which)
    ).fetchall()
    if not found:
        return False
    remove(transaction, project, found)
    return True


def remove(transaction: Transaction, project: str, found: Sequence[Any]) -> Counter[str]:
    """Delete spans that were found (trace id, span id, event id) with all that hangs on them.

    Returns:
        How many spans, traces, updates and feedback there were.
    """
    gone = remove_spans(transaction, project, found)
    number = Counter(spans=len(found), traces=len(gone))
    event_ids = {event_id for _, _, event_id in found}
    on_these = transaction.database.among(patches.c.event_id, event_ids)
    has_spans = queries.has_spans(transaction.database)
    unused = _in(patches, project).where(on_these, patches.c.trace_id == "", ~has_spans)
    number["updates"] += transaction.connection.execute(unused).rowcount
    of_trace: dict[str, set[str]] = {}
    for trace_id, span_id, _ in found:
        of_trace.setdefault(trace_id, set()).add(span_id)
    for trace_id, span_ids in of_trace.items():
        number["feedback"] += feedback_on(transaction, project, "span", span_ids, ("", trace_id))
    number["feedback"] += feedback_on(transaction, project, "trace", gone)
    keys = {(trace_id, one) for trace_id, *ids in found for one in ids}
    number["updates"] += _updates_under(transaction, project, keys)
    return number


def _updates_under(
    transaction: Transaction, project: str, keys: Collection[tuple[str, str]]
) -> int:
    """Delete the updates of spans and of events that are named by (trace id, id); how many there
    were."""
    of_trace: dict[str, set[str]] = {}
    for trace_id, span_id in keys:
        of_trace.setdefault(trace_id, set()).add(span_id)
    have = select(patches.c.trace_id).where(
        patches.c.project == project,
        patches.c.trace_id != "",
        transaction.database.among(patches.c.trace_id, of_trace),
    )
    number = 0
    for trace_id in set(transaction.connection.execute(have).scalars()):
        of_these = transaction.database.among(patches.c.event_id, of_trace[trace_id])
        under = _in(patches, project).where(patches.c.trace_id == trace_id, of_these)
        number += transaction.connection.execute(under).rowcount
    return number


def feedback_on(
    transaction: Transaction,
    project: str,
    target: str,
    ids: Collection[str],
    trace_ids: Collection[str] = (),
) -> int:
    """Delete the feedback on targets, or that of it which names one of the traces; how many there
    were."""
    database = transaction.database
    on_these = _in(feedback, project).where(
        feedback.c.target == target, database.among(feedback.c.target_id, ids)
    )
    if trace_ids:
        on_these = on_these.where(database.among(feedback.c.trace_id, trace_ids))
    return transaction.connection.execute(on_these).rowcount


def _in(table: Any, project: str) -> Any:
    return delete(table).where(table.c.project == project)
