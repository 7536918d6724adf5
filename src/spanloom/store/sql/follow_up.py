"""What follows from a write, in its transaction: older places of events are deleted, updates that
the events already have are applied, and sampled traces are scanned for evaluators.

One query finds what there is to do for all calls of a group: a query costs more than its rows.
"""

from __future__ import annotations

from collections.abc import Collection

from sqlalchemy import select

from spanloom.model import trace_scan
from spanloom.store.sql import deletes, event_ids, ownership, patches, rows
from spanloom.store.sql.tables import evaluations, spans, traces
from spanloom.store.sql.transaction import Transaction, Unfinished


def follow_up(transaction: Transaction) -> None:
    """Do what follows from all that the transaction wrote so far.

    Afterwards the database is as if each call had been written alone. A deletion needs this first:
    it decides by the spans that an event, a session or a trace has.
    """
    for project, unfinished in transaction.take_unfinished().items():
        if unfinished.created:
            _delete_older_places(transaction, project, unfinished)
        if unfinished.events:
            patches.apply(transaction, project, unfinished.events)
        if unfinished.scans:
            _scan_sampled(transaction, project, unfinished.scans)


def _delete_older_places(transaction: Transaction, project: str, unfinished: Unfinished) -> None:
    """Delete the spans that were written before under ids of created events, in other traces.
    Updates and feedback are kept.

    Raises:
        ForeignSpansError: another adapter wrote such a span than the only one that may have.
    """
    created = unfinished.created
    database, connection = transaction.database, transaction.connection
    of_created = {"project": project, "event_ids": database.texts(created)}
    found = connection.execute(event_ids.repeated(database), of_created)
    repeated = list(found.scalars())
    if not repeated:
        return
    places = select(spans.c.trace_id, spans.c.span_id, spans.c.event_id, spans.c.version).where(
        spans.c.project == project,
        event_ids.of_events(database, repeated),
        spans.c.span_id
        == spans.c.event_id,  # a span of another adapter may have the event's id, too
    )
    older = [
        place
        for *place, version in connection.execute(places).fetchall()
        if transaction.is_older(version, than=created[place[2]])
    ]
    if older:
        only_of = {
            (trace_id, span_id): unfinished.created_of[event_id]
            for trace_id, span_id, event_id in older
            if event_id in unfinished.created_of
        }
        ownership.check(connection, database, project, only_of)
        transaction.may_change_others()
        deletes.remove_spans(transaction, project, older)


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
