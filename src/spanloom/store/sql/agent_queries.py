"""The statements behind conversations, messages and agents."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Double,
    Select,
    and_,
    bindparam,
    case,
    cast,
    distinct,
    func,
    literal_column,
    or_,
    select,
    tuple_,
)

from spanloom.model import AGENT_FIGURES, AgentQuery, SpokenQuery
from spanloom.store.sql.database import Database
from spanloom.store.sql.predicates import PLAIN
from spanloom.store.sql.reading import select_whole
from spanloom.store.sql.tables import spans

EMPTY: ColumnElement[str] = literal_column("''")  # as the partial index says it
_PLACE = (spans.c.start_ns, spans.c.trace_id, spans.c.span_id)
# The order of `speaking_spans`.
NEWEST_SPANS = ("-start_ns", "-trace_id", "-span_id")
_FOREIGN = re.compile(r"[^\x00-\x7f]+")

_of_conversation = (
    spans.c.project == bindparam("project"),
    spans.c.session_id == bindparam("session_id"),
)
CONVERSATION_TRACES = (
    select(spans.c.trace_id)
    .where(*_of_conversation)
    .group_by(spans.c.trace_id)
    .order_by(func.min(spans.c.start_ns).desc(), spans.c.trace_id.desc())
    .limit(bindparam("limit"))
    .offset(bindparam("offset"))
)
COUNT_CONVERSATION_TRACES = select(func.count(distinct(spans.c.trace_id))).where(*_of_conversation)


def turn_spans(
    database: Database, project: str, session_id: str, trace_ids: list[str]
) -> Select[Any]:
    """These traces' spans that belong to the session or to no conversation."""
    found = select(spans).where(
        spans.c.project == project,
        database.among(spans.c.trace_id, trace_ids),
        or_(spans.c.session_id == session_id, spans.c.session_id == spans.c.trace_id),
    )
    return select_whole(found, ("start_ns", "span_id"))


def speaking_spans(
    project: str, query: SpokenQuery, after: tuple[int, str, str] | None
) -> Select[Any]:
    """The rows of the spans that fulfil all that the query asks of columns; `after` is
    (start_ns, trace_id, span_id) of one, in the order of NEWEST_SPANS."""
    where: list[ColumnElement[bool]] = [spans.c.project == project]
    for column, value in (
        (spans.c.trace_id, query.trace_id),
        (spans.c.session_id, query.session_id),
        (spans.c.agent_name, query.agent_name),
        (func.lower(spans.c.provider), query.provider.lower()),
        (spans.c.model, query.model),
    ):
        if value:
            where.append(column == value)
    if query.agent_name:
        where.append(spans.c.agent_name != EMPTY)
    if query.since_ns is not None:
        where.append(spans.c.start_ns >= query.since_ns)
    if query.before_ns is not None:
        where.append(spans.c.start_ns < query.before_ns)
    if after is not None:
        # The first condition says nothing new, but an index on the start can be entered by it.
        where += [spans.c.start_ns <= after[0], tuple_(*_PLACE) < tuple_(*after)]
    return select(spans).where(*where)


def may_hold(text: str) -> Callable[[str], bool]:
    """A condition that each JSON text meets which holds the text in any of JSON's spellings.

    A part of the text that no writer escapes is in the JSON as it is; a letter outside ASCII as it
    is or as \\uXXXX.
    """
    plain = max(PLAIN.findall(text), key=len, default="")
    foreign = max(_FOREIGN.findall(text), key=len, default="")
    return lambda json: plain in json and (foreign in json or "\\u" in json)


def agents(project: str, query: AgentQuery) -> tuple[Select[Any], Select[Any]]:
    """A row an agent (or version), its columns the fields of `AgentTotals`; and the number of such
    rows."""
    version = spans.c.agent_version if query.by_version else EMPTY
    took = case(
        (and_(spans.c.end_ns > spans.c.start_ns), (spans.c.end_ns - spans.c.start_ns) / 1e6),
        else_=0.0,
    )
    columns: dict[str, ColumnElement[Any]] = {
        "agent_name": spans.c.agent_name,
        "agent_version": version,
        "invocations": func.sum(case((spans.c.operation == "invoke_agent", 1), else_=0)),
        "spans": func.count(),
        # As numbers with a floating point, which do not overflow.
        "input_tokens": func.coalesce(func.sum(cast(spans.c.input_tokens, Double)), 0.0),
        "output_tokens": func.coalesce(func.sum(cast(spans.c.output_tokens, Double)), 0.0),
        "duration_ms": func.sum(cast(took, Double)),
        "errors": func.sum(case((spans.c.status == "ERROR", 1), else_=0)),
        "first_ns": func.min(spans.c.start_ns),
        "last_ns": func.max(spans.c.start_ns),
        "cost": func.sum(spans.c.cost),
    }
    where = [spans.c.project == project, spans.c.agent_name != EMPTY]
    if query.agent_name:
        where.append(spans.c.agent_name == query.agent_name)
    keys = ("agent_name", "agent_version") if query.by_version else ("agent_name",)
    grouped = (
        select(*(columns[name].label(name) for name in AGENT_FIGURES))
        .where(*where)
        .group_by(
            *(columns[name] if name == "agent_name" else literal_column(name) for name in keys)
        )
        .subquery()
    )
    order = []
    for name, descending in query.order:
        column = grouped.c[name]
        # Absent costs last, whatever the order.
        order += [column.is_(None), column.desc() if descending else column]
    listed = select(grouped).order_by(*order, *(grouped.c[name] for name in keys))
    return listed.limit(query.limit).offset(query.offset), select(func.count()).select_from(grouped)
