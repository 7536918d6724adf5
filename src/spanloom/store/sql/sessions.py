"""Which spans belong to a session.

A span names a session, or none: then its session id is its trace id. The session of a trace is the
one that its root names; without such a root the one that its earliest span with a session names. To
a session belong

- the spans that name it,
- the spans that name none, in the traces whose session it is,
- all spans of a trace whose roots name it and no other: an application names the session on the
  root, and a framework names conversations of its own inside. A span is then found by both.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, or_, select

from spanloom.store.sql.database import Database
from spanloom.store.sql.tables import spans


def belongs(
    connection: Connection, database: Database, project: str, session_id: str
) -> ColumnElement[bool]:
    """Whether a span of the project belongs to a session, as a condition on rows of `spans`."""
    in_project = spans.c.project == project
    naming = select(spans.c.trace_id).where(in_project, spans.c.session_id == session_id).distinct()
    of_traces = set(connection.execute(naming).scalars())
    # With the id of the trace as its session id a span names none.
    names_trace = session_id in of_traces
    of_traces.discard(session_id)
    own: ColumnElement[bool] = spans.c.session_id == session_id
    if names_trace and _names(connection, in_project, spans.c.trace_id == session_id):
        own = and_(own, spans.c.trace_id != session_id)
    if not of_traces:
        return own
    named = _names(connection, in_project, database.among(spans.c.trace_id, of_traces))
    whole, rest = [], []
    for trace_id, found in named.items():
        roots = {of for is_inner, _, _, of in found if not is_inner}
        if roots == {session_id}:
            whole.append(trace_id)
        elif min(found)[-1] == session_id:
            rest.append(trace_id)
    return or_(
        own,
        database.among(spans.c.trace_id, whole),
        and_(database.among(spans.c.trace_id, rest), spans.c.session_id == spans.c.trace_id),
    )


def _names(
    connection: Connection, in_project: ColumnElement[bool], which: ColumnElement[bool]
) -> dict[str, list[tuple[bool, int, str, str]]]:
    """The spans of traces that name a session, in the order that tells the trace's: whether it is
    no root, start, id, session."""
    columns = (spans.c.trace_id, spans.c.parent_id, spans.c.start_ns, spans.c.span_id)
    found: defaultdict[str, list[tuple[bool, int, str, str]]] = defaultdict(list)
    rows: Any = connection.execute(
        select(*columns, spans.c.session_id).where(
            in_project, which, spans.c.session_id != spans.c.trace_id
        )
    )
    for trace_id, parent_id, start_ns, span_id, of in rows:
        found[trace_id].append((parent_id != "", start_ns, span_id, of))
    return found
