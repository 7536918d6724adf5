"""Which adapter wrote a span: some callers may replace and update only what theirs wrote."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import orjson
from sqlalchemy import Connection, Select, and_, case, select

from spanloom import errors
from spanloom.store.sql.database import Database
from spanloom.store.sql.event_ids import of_events
from spanloom.store.sql.packing import without_attachments
from spanloom.store.sql.tables import bodies, spans

Key = tuple[str, str]  # the trace id and the span id

_UNNAMED = bodies.c.adapter == ""
# What was sent is read only where the column does not name the adapter.
ADAPTER_COLUMNS = (bodies.c.adapter, case((_UNNAMED, bodies.c.sent)).label("unnamed"))


class ForeignSpansError(errors.SpanloomError):
    """The spans with these keys were written by another adapter. Nothing of the call is stored."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self.keys = frozenset(keys)
        refusal = errors.written_by_another_api([])
        super().__init__(refusal.code, refusal.reason, refusal.message)


def adapter_of(row: Any) -> str:
    """The adapter that wrote a span, from a row with ADAPTER_COLUMNS; "" for one of a version that
    did not keep its name."""
    if row.adapter or row.unnamed is None:
        return str(row.adapter)
    return str(orjson.loads(without_attachments(row.unnamed)).get("sent", {}).get("adapter", ""))


def of_keys(database: Database, project: str, keys: Collection[Key], *columns: Any) -> Select[Any]:
    """Selects columns of the spans with these keys, joined with their bodies."""
    named = database.pairs(keys)
    return select(spans.c.trace_id, spans.c.span_id, *columns).select_from(
        named.join(
            spans,
            and_(
                spans.c.project == project,
                spans.c.trace_id == named.c.a,
                spans.c.span_id == named.c.b,
            ),
        ).join(bodies, bodies.c.span_version == spans.c.version)
    )


def check(
    connection: Connection, database: Database, project: str, written: Mapping[Key, str]
) -> None:
    """Raise ForeignSpansError where another adapter than the named one wrote a span."""
    query = of_keys(database, project, written.keys(), *ADAPTER_COLUMNS)
    foreign = {
        (row.trace_id, row.span_id)
        for row in connection.execute(query)
        if adapter_of(row) != written[row.trace_id, row.span_id]
    }
    if foreign:
        raise ForeignSpansError(foreign)


def refusal_of_trace(
    connection: Connection, project: str, trace_id: str, adapter: str
) -> errors.SpanloomError | None:
    """The refusal to replace a trace of which another adapter wrote a span."""
    query = (
        select(spans.c.trace_id, spans.c.span_id, *ADAPTER_COLUMNS)
        .join_from(spans, bodies, bodies.c.span_version == spans.c.version)
        .where(spans.c.project == project, spans.c.trace_id == trace_id)
    )
    for row in connection.execute(query):
        if adapter_of(row) != adapter:
            return ForeignSpansError([(row.trace_id, row.span_id)])
    return None


def event_is_there(
    connection: Connection,
    database: Database,
    project: str,
    event_id: str,
    only_of: str = "",
    *,
    trace_id: str = "",
) -> bool | errors.SpanloomError:
    """Whether an event has spans, in the trace if one is named; with the name of an adapter, a
    refusal where others wrote all of them."""
    query = (
        select(spans.c.trace_id, spans.c.span_id, *ADAPTER_COLUMNS)
        .join_from(spans, bodies, bodies.c.span_version == spans.c.version)
        .where(spans.c.project == project, of_events(database, [event_id]))
    )
    if trace_id:
        query = query.where(spans.c.trace_id == trace_id)
    found = connection.execute(query).fetchall()
    if only_of and found and all(adapter_of(row) != only_of for row in found):
        return ForeignSpansError((row.trace_id, row.span_id) for row in found)
    return bool(found)
