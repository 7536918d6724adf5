"""Traces by a text in any of their spans, the newest first."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import orjson
from sqlalchemy import Connection, select

from spanloom.model import Trace, TraceQuery
from spanloom.store.sql import queries, rows
from spanloom.store.sql.database import Database
from spanloom.store.sql.reading import SpanReader, select_whole
from spanloom.store.sql.tables import spans

# Traces looked at together.
_BATCH = 100


def traces(
    database: Database,
    reader: SpanReader,
    project: str,
    query: TraceQuery,
    after: tuple[int, str] | None,
) -> Callable[[Connection], Iterator[Trace]]:
    """The traces that the query asks for, text included, from behind `after`; found as they are
    taken."""

    def run(connection: Connection) -> Iterator[Trace]:
        place = after
        while True:
            batch = queries.list_traces(project, query, limit=_BATCH, after=place)
            found = [rows.to_trace(row) for row in connection.execute(batch)]
            ids = _holding(connection, database, reader, project, query.text, found)
            yield from (trace for trace in found if trace.trace_id in ids)
            if len(found) < _BATCH:
                return
            place = found[-1].start_ns, found[-1].trace_id

    return run


def _holding(
    connection: Connection,
    database: Database,
    reader: SpanReader,
    project: str,
    text: str,
    among: list[Trace],
) -> set[str]:
    """The ids of the traces of which a span holds the text in its name or its body, whatever the
    case of ASCII letters."""
    plain = text.encode().lower()
    escaped = orjson.dumps(text)[1:-1].lower()  # as the body writes it
    of_traces = select(spans).where(
        spans.c.project == project,
        database.among(spans.c.trace_id, [trace.trace_id for trace in among]),
    )
    found: set[str] = set()
    for row in connection.execute(select_whole(of_traces, ())):
        if row.trace_id not in found and (
            plain in row.name.encode().lower() or escaped in reader.to_text(row).lower()
        ):
            found.add(row.trace_id)
    return found
