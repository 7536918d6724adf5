"""What follows from a write, in its transaction: older places of events are deleted, updates that
the events already have are applied, and sampled traces are scanned for evaluators.

One query finds what there is to do for all calls of a group: a query costs more than its rows.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import select

from spanloom.errors import SpanloomError
from spanloom.model import trace_scan
from spanloom.model.span import HONEYHIVE
from spanloom.store.sql import deletes, event_ids, patches, rows
from spanloom.store.sql.reading import select_whole
from spanloom.store.sql.tables import evaluations, spans, traces
from spanloom.store.sql.transaction import Transaction


def follow_up(transaction: Transaction) -> None:
    """Do what follows from all that the transaction wrote so far.

    Afterwards the database is as if each call had been written alone. A deletion needs this first:
    it decides by the spans that an event, a session or a trace has.
    """
    for project, unfinished in transaction.take_unfinished().items():
        if unfinished.created:
            _delete_older_places(transaction, project, unfinished.created)
        if unfinished.events:
            patches.apply(transaction, project, unfinished.events)
        if unfinished.scans:
            _scan_sampled(transaction, project, unfinished.scans)


def _delete_older_places(
    transaction: Transaction, project: str, created: Mapping[str, int]
) -> None:
    """Delete the spans that were written before under ids of created events, in other traces.
    Updates move to the new place, and feedback is kept. Spans of other APIs may have an event's id,
    too: they are left alone."""
    database, connection = transaction.database, transaction.connection
    of_created = {"project": project, "event_ids": database.texts(created)}
    found = connection.execute(event_ids.repeated(database), of_created)
    repeated = list(found.scalars())
    if not repeated:
        return
    places = select_whole(
        select(spans).where(
            spans.c.project == project,
            event_ids.of_events(database, repeated),
            spans.c.span_id == spans.c.event_id,
        ),
        (),
    )
    older: list[tuple[str, str, str]] = []
    newest: dict[str, str] = {}
    for row in connection.execute(places).fetchall():
        if not transaction.is_older(row.span_version, than=created[row.event_id]):
            newest[row.event_id] = row.trace_id
        elif _is_event(transaction, row):
            older.append((row.trace_id, row.span_id, row.event_id))
    if older:
        transaction.may_change_others()
        deletes.remove_spans(transaction, project, older)
        for trace_id, _, event_id in older:
            patches.move(transaction, project, event_id, trace_id, newest[event_id])


def _is_event(transaction: Transaction, row: Any) -> bool:
    """Whether the API of events wrote a span, or nothing tells who did."""
    try:
        adapter = row.adapter or transaction.reader.to_base(row).sent.adapter
    except SpanloomError:  # damaged
        return False
    return adapter in ("", HONEYHIVE)


def _scan_sampled(transaction: Transaction, project: str, trace_ids: Collection[str]) -> None:
    sampled = select(traces.c.trace_id).where(
        traces.c.project == project,
        transaction.database.among(traces.c.trace_id, trace_ids),
        traces.c.sampled == 1,
    )
    found = transaction.connection.execute(sampled).scalars().all()
    if found:
        scans = [trace_scan(trace_id) for trace_id in sorted(found)]
        transaction.rewrite({evaluations: rows.evaluation_rows(project, scans)})
