"""Which traces are too old, and their deletion. One process does it, under a lease."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import BigInteger, Connection, func, insert, literal, select, tuple_, update

from spanloom.store.sql.database import Database
from spanloom.store.sql.erasure import parts
from spanloom.store.sql.follow_up import follow_up
from spanloom.store.sql.tables import leases, projects, spans
from spanloom.store.sql.transaction import Transaction

DAY_NS = 86_400 * 10**9
_NAME = "retention"
# So long after a process died another one may go on.
_LEASE_NS = 30 * 10**9
# Spans whose traces are looked at together, the oldest first.
_SPANS = 500


class Old(NamedTuple):
    """Traces that are too old, in parts that one transaction may delete; and the place of the last
    span that was looked at, None after the last."""

    parts: list[list[str]]
    after: tuple[int, str] | None


class LeaseLostError(Exception):
    """Another process does the work now."""


def kept_days(connection: Connection, default_days: int) -> dict[str, int]:
    """For how many days the projects keep their traces that do not keep them for ever."""
    found = connection.execute(select(projects.c.name, projects.c.retention_days))
    kept = {name: default_days if days is None else days for name, days in found}
    return {name: days for name, days in kept.items() if days > 0}


def oldest(
    database: Database,
    project: str,
    before_ns: int,
    after: tuple[int, str] | None,
    most: int,
    connection: Connection,
) -> Old:
    """The traces of some spans that started before a time, where no span started later; in parts of
    at most so many spans, or one trace."""
    place = tuple_(spans.c.start_ns, spans.c.trace_id)
    query = select(spans.c.start_ns, spans.c.trace_id).where(
        spans.c.project == project, spans.c.start_ns < before_ns
    )
    if after is not None:
        query = query.where(
            spans.c.start_ns >= after[0],  # for the index
            place > tuple_(literal(after[0], BigInteger), literal(after[1])),
        )
    ordered = query.order_by(spans.c.start_ns, spans.c.trace_id).limit(_SPANS)
    found = connection.execute(ordered).fetchall()
    sizes = _old(connection, database, project, before_ns, {row.trace_id for row in found})
    made: list[list[str]] = []
    size = 0
    for trace_id, number in sizes.items():
        if not made or size + number > most:
            made.append([])
            size = 0
        made[-1].append(trace_id)
        size += number
    last = found[-1] if len(found) == _SPANS else None
    return Old(made, None if last is None else (last.start_ns, last.trace_id))


def delete_part(
    owner: str, project: str, before_ns: int, trace_ids: Sequence[str], transaction: Transaction
) -> Counter[str]:
    """Delete those of the traces that are still too old; a part of them where they have more spans
    than one transaction deletes. Raises LeaseLostError."""
    follow_up(transaction)
    hold(owner, transaction)
    connection, database = transaction.connection, transaction.database
    old = _old(connection, database, project, before_ns, set(trace_ids))
    return parts.whole_traces(transaction, project, list(old)) if old else Counter()


def take(owner: str, transaction: Transaction) -> bool:
    """Take the lease, unless another process has it."""
    connection, now = transaction.connection, time.time_ns()
    row = connection.execute(select(leases).where(leases.c.name == _NAME)).first()
    if row is None:
        connection.execute(insert(leases).values((_NAME, owner, now + _LEASE_NS)))
        return True
    if row.owner not in ("", owner) and row.lease_ns > now:
        return False
    taken = update(leases).where(leases.c.name == _NAME)
    connection.execute(taken.values(owner=owner, lease_ns=now + _LEASE_NS))
    return True


def hold(owner: str, transaction: Transaction) -> None:
    """Extend the lease. Raises LeaseLostError where another process has it."""
    mine = update(leases).where(leases.c.name == _NAME, leases.c.owner == owner)
    held = mine.values(lease_ns=time.time_ns() + _LEASE_NS)
    if not transaction.connection.execute(held).rowcount:
        raise LeaseLostError


def release(owner: str, transaction: Transaction) -> None:
    """Give the lease up."""
    mine = update(leases).where(leases.c.name == _NAME, leases.c.owner == owner)
    transaction.connection.execute(mine.values(owner="", lease_ns=0))


def _old(
    connection: Connection, database: Database, project: str, before_ns: int, trace_ids: set[str]
) -> dict[str, int]:
    """Those of the traces of which all spans started before a time, with their numbers of spans."""
    newest = func.max(spans.c.start_ns)
    query = (
        select(spans.c.trace_id, func.count())
        .where(spans.c.project == project, database.among(spans.c.trace_id, trace_ids))
        .group_by(spans.c.trace_id)
        .having(newest < before_ns)
        .order_by(spans.c.trace_id)
    )
    return {row[0]: row[1] for row in connection.execute(query)}
