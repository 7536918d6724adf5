"""The conditions on traces of a list as SQL, and the order of the list."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Double,
    Select,
    and_,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    tuple_,
)

from spanloom.model.summaries import SummaryQuery, TracePosition
from spanloom.store.sql.rows import TRACE_COLUMNS
from spanloom.store.sql.tables import feedback, is_text, spans, traces

Condition = ColumnElement[bool]

_TEXTS = ("name", "feature_slug", "user_id", "organization_id", "experiment_id")
# Costs are ranked by whole parts of a dollar, which every sum of the same costs gives again.
_PARTS = 10**9
_has_root = traces.c.version > 0
_of_trace = and_(spans.c.project == traces.c.project, spans.c.trace_id == traces.c.trace_id)


def found_by_index(*where: Condition) -> Condition:
    """Whether rows of the tables that the conditions name, beside those of the statement around it,
    fulfil them.

    EXISTS says the same, but PostgreSQL may answer it for all rows of a table at once.
    """
    return select(literal(1)).where(*where).limit(1).scalar_subquery().is_not(None)


# A span of the trace failed, the root or another one.
HAS_ERROR = found_by_index(_of_trace, spans.c.status == "ERROR")


def _sum(column: ColumnElement[Any]) -> ColumnElement[Any]:
    total = select(func.sum(column)).where(_of_trace)
    return total.correlate(traces).scalar_subquery()


_cost = _sum(spans.c.cost)
# As numbers with a floating point, which do not overflow.
_tokens = func.coalesce(
    _sum(
        cast(func.coalesce(spans.c.input_tokens, 0), Double)
        + cast(func.coalesce(spans.c.output_tokens, 0), Double)
    ),
    0.0,
)
_ranks: dict[str, ColumnElement[Any]] = {
    "start": literal(0, BigInteger),
    "duration": case(
        (and_(_has_root, traces.c.end_ns.is_not(None)), traces.c.end_ns - traces.c.start_ns),
        else_=-1,
    ),
    # Costs and tokens as they were reported. What a step repeats is left out of what is shown.
    "cost": func.coalesce(cast(func.round(_cost * _PARTS), BigInteger), -1),
    "tokens": cast(func.round(_tokens), BigInteger),
    "errors": func.coalesce(_sum(case((spans.c.status == "ERROR", 1), else_=0)), 0),
}


def of_columns(project: str, query: SummaryQuery) -> list[Condition]:
    """What a query asks of the columns of `traces`."""
    where: list[Condition] = [traces.c.project == project]
    where += [is_text(traces.c[name], value) for name in _TEXTS if (value := getattr(query, name))]
    if query.since_ns is not None:
        where.append(traces.c.start_ns >= query.since_ns)
    if query.before_ns is not None:
        where.append(traces.c.start_ns < query.before_ns)
    if query.status:
        where += [_has_root, traces.c.status == query.status]
    if query.running is not None:
        running = or_(~_has_root, traces.c.end_ns.is_(None))
        where.append(running if query.running else ~running)
    if query.min_duration_ns:
        took = traces.c.end_ns - traces.c.start_ns
        where += [_has_root, took >= query.min_duration_ns]
    if query.conversation_id:
        of_conversation = select(spans.c.trace_id).where(
            spans.c.project == project, spans.c.session_id == query.conversation_id
        )
        where.append(traces.c.trace_id.in_(of_conversation))
    return where


def of_spans(query: SummaryQuery) -> list[Condition]:
    """What a query asks of the spans and the feedback of a trace. Of costs and tokens, all that is
    found has to be looked at again: a step may repeat those of others."""
    where: list[Condition] = []
    for column, value in ((spans.c.agent_name, query.agent_name), (spans.c.model, query.model)):
        if value:
            where.append(found_by_index(_of_trace, column == value))
    if query.has_error is not None:
        where.append(HAS_ERROR if query.has_error else ~HAS_ERROR)
    if query.has_feedback is not None:
        where.append(_has_feedback if query.has_feedback else ~_has_feedback)
    if query.min_cost is not None:
        where.append(_cost >= query.min_cost)
    if query.min_tokens:
        where.append(_tokens >= query.min_tokens)
    return where


_of_project = feedback.c.project == traces.c.project
_on_span = feedback.c.target == "span"
_has_feedback = or_(
    found_by_index(
        _of_project, feedback.c.target == "trace", feedback.c.target_id == traces.c.trace_id
    ),
    found_by_index(_of_project, feedback.c.trace_id == traces.c.trace_id, _on_span),
    # That of spans whose trace the client did not name.
    found_by_index(
        _of_trace,
        feedback.c.project == spans.c.project,
        _on_span,
        feedback.c.target_id == spans.c.span_id,
        feedback.c.trace_id == "",
    ),
)


def ranked(where: Sequence[Condition], order: str) -> Select[Any]:
    """The traces of a list, without an order: TRACE_COLUMNS, `version` and `rank`."""
    rank = _ranks[order].label("rank")
    return select(*TRACE_COLUMNS, traces.c.version, rank).where(*where)


def in_order(found: Select[Any], order: str, after: TracePosition | None) -> Select[Any]:
    """The rows of `ranked` in their order, behind a position."""
    if order == "start":  # by the index
        columns: Any = traces.c
        position: tuple[Any, ...] = ()
    else:
        listed = found.subquery("listed")
        columns, found, position = listed.c, select(listed), (listed.c.rank,)
    position += (columns.start_ns, columns.trace_id)
    if after is not None:
        values = (after.rank, after.start_ns)[-len(position) + 1 :]
        numbers = (literal(value, BigInteger) for value in values)
        found = found.where(tuple_(*position) < tuple_(*numbers, literal(after.trace_id)))
    return found.order_by(*(column.desc() for column in position))
