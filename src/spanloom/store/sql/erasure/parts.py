"""Deletes a part of what is erased, in the transaction of the writer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import Any

import orjson
from sqlalchemy import Table, bindparam, delete, insert, select, update

from spanloom.model.catalog import DATAPOINT
from spanloom.store.sql import deletes
from spanloom.store.sql.erasure import owned
from spanloom.store.sql.erasure.users import Rows, among_events
from spanloom.store.sql.follow_up import follow_up
from spanloom.store.sql.projects import delete_settings
from spanloom.store.sql.reading import select_whole
from spanloom.store.sql.requests import answers_about
from spanloom.store.sql.rows import trace_row
from spanloom.store.sql.tables import (
    dataset_rows,
    erasures,
    keys,
    patches,
    projects,
    records,
    spans,
    traces,
)
from spanloom.store.sql.transaction import Transaction

# Spans, or rows of another table, that are deleted in one transaction at most.
AT_ONCE = 250
# A trace with more spans than this is deleted in several transactions.
LARGEST_TRACE = 1_000

_OF_TRACE = select(spans).where(
    spans.c.project == bindparam("project"), spans.c.trace_id == bindparam("trace_id")
)
_ROOT = select_whole(_OF_TRACE.where(spans.c.parent_id == ""), ("start_ns",), limit=1)
_EARLIEST = select_whole(_OF_TRACE, ("start_ns",), limit=1)
_KEYS = (spans.c.trace_id, spans.c.span_id, spans.c.event_id, spans.c.session_id)


class Left(Enum):
    """What is left of a project."""

    ROWS = 1
    NOTES = 2  # that the follower of the sums has to read
    NOTHING = 3


def intend(project: str, user_id: str, transaction: Transaction) -> int:
    """Write down what is to be erased, and revoke the keys of a project; the version from which on
    spans are written during the erasure."""
    connection, since = transaction.connection, transaction.first_version
    earlier = connection.execute(_intent(project, user_id)).scalar()
    number = Counter(orjson.loads(earlier) if earlier else {})
    if not user_id:
        number["keys"] += connection.execute(delete(keys).where(keys.c.project == project)).rowcount
    connection.execute(delete(erasures).where(*_is(project, user_id)))
    row = (project, user_id, since, time.time_ns(), orjson.dumps(number).decode())
    connection.execute(insert(erasures).values(row))
    return since


def finish(project: str, user_id: str, since: int, transaction: Transaction) -> Mapping[str, int]:
    """Forget the intent, unless another call began after this one; what was deleted."""
    connection = transaction.connection
    counts = connection.execute(_intent(project, user_id)).scalar()
    own = delete(erasures).where(*_is(project, user_id), erasures.c.since == since)
    connection.execute(own)
    found: Mapping[str, int] = orjson.loads(counts) if counts else {}
    return found


def of_user(
    project: str,
    user_id: str,
    versions: Sequence[int],
    links: Mapping[str, list[str]],
    transaction: Transaction,
) -> tuple[Counter[str], set[str]]:
    """Delete spans by their versions, and the datapoints that were made of them.

    Returns:
        What was deleted, and the ids of the traces that spans were deleted from.
    """
    follow_up(transaction)
    number, found = _spans(transaction, project, versions)
    trace_ids = {row.trace_id for row in found}
    _name_heads(transaction, project, trace_ids)
    made = among_events(links, {one for row in found for one in (row.event_id, row.span_id)})
    if made:
        of_events = delete(records).where(
            *(records.c.project == project, records.c.kind == DATAPOINT),
            transaction.database.among(records.c.id, made),
        )
        number["dataset_items"] += transaction.connection.execute(of_events).rowcount
    _count(transaction, project, user_id, number)
    return number, trace_ids


def rows_of_user(project: str, user_id: str, rows: Rows, transaction: Transaction) -> Counter[str]:
    """Delete rows that name a user, unless they have been written again."""
    follow_up(transaction)
    number: Counter[str] = Counter()
    places: tuple[tuple[Table, Sequence[Any], str, Sequence[str]], ...] = (
        (patches, rows.updates, "updates", ("event_id", "id", "sequence")),
        (dataset_rows, rows.dataset_rows, "dataset_items", ("slug", "id", "sequence")),
        (records, rows.datapoints, "dataset_items", ("kind", "id", "version")),
    )
    for table, of_table, counted, names in places:
        for key in of_table:
            which = (table.c[name] == value for name, value in zip(names, key, strict=True))
            gone = delete(table).where(table.c.project == project, *which)
            number[counted] += transaction.connection.execute(gone).rowcount
    for slug in {key[0] for key in rows.dataset_rows}:
        # What a repeat of the call that added the item would be answered.
        transaction.connection.execute(answers_about(project, slug))
    _count(transaction, project, user_id, number)
    return number


def of_project(project: str, most: int, transaction: Transaction) -> Left:
    """Delete a part of a project, of at most so many rows, and in the end the project."""
    follow_up(transaction)
    connection = transaction.connection
    counted, number = owned.delete_some(connection, project, most)
    if number:
        _count(transaction, project, "", Counter({counted: number} if counted else {}))
        return Left.ROWS
    if owned.has_notes(connection, project):
        return Left.NOTES
    owned.delete_sums(connection, project)
    delete_settings(connection, project)
    connection.execute(delete(projects).where(projects.c.name == project))
    return Left.NOTHING


def whole_traces(transaction: Transaction, project: str, trace_ids: Sequence[str]) -> Counter[str]:
    """Delete traces with all that hangs on them, at most as many of their spans as one transaction
    deletes."""
    of_traces = transaction.database.among(spans.c.trace_id, trace_ids)
    query = select(spans.c.version).where(spans.c.project == project, of_traces)
    versions = transaction.connection.execute(query.limit(LARGEST_TRACE)).scalars().all()
    return _spans(transaction, project, versions)[0]


def _spans(
    transaction: Transaction, project: str, versions: Sequence[int]
) -> tuple[Counter[str], Sequence[Any]]:
    """Delete spans that still have these versions, and feedback on conversations that have no
    others."""
    connection, database = transaction.connection, transaction.database
    among = database.among_numbers(spans.c.version, versions)
    query = select(*_KEYS, spans.c.project).where(among)
    found = [row for row in connection.execute(query) if row.project == project]
    if not found:
        return Counter(), []
    number = deletes.remove(transaction, project, [row[:3] for row in found])
    sessions = {row.session_id for row in found}
    left = select(spans.c.session_id).where(
        spans.c.project == project, database.among(spans.c.session_id, sessions)
    )
    gone = sessions - set(connection.execute(left.distinct()).scalars())
    number["feedback"] += deletes.feedback_on(transaction, project, "conversation", gone)
    return number, found


def _name_heads(transaction: Transaction, project: str, trace_ids: set[str]) -> None:
    """Make the rows of traces anew that have spans left: the row may be that of a deleted one."""
    connection, among = transaction.connection, transaction.database.among
    left = select(spans.c.trace_id).where(
        spans.c.project == project, among(spans.c.trace_id, trace_ids)
    )
    for trace_id in sorted(connection.execute(left.distinct()).scalars()):
        key = {"project": project, "trace_id": trace_id}
        head = connection.execute(_ROOT, key).first() or connection.execute(_EARLIEST, key).one()
        row = trace_row(project, transaction.reader.shown(head))
        old = delete(traces).where(traces.c.project == project, traces.c.trace_id == trace_id)
        connection.execute(old)
        transaction.rewrite({traces: [row]})


def _count(transaction: Transaction, project: str, user_id: str, number: Counter[str]) -> None:
    """Add what was deleted to the intent."""
    connection = transaction.connection
    counts = connection.execute(_intent(project, user_id)).scalar()
    if counts is not None:
        text = orjson.dumps(Counter(orjson.loads(counts)) + number).decode()
        touched = update(erasures).where(*_is(project, user_id))
        connection.execute(touched.values(counts=text, touched_ns=time.time_ns()))


def _is(project: str, user_id: str) -> list[Any]:
    return [erasures.c.project == project, erasures.c.user_id == user_id]


def _intent(project: str, user_id: str) -> Any:
    return select(erasures.c.counts).where(*_is(project, user_id))
