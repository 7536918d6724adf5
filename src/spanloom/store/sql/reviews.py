"""The statements behind reviews."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Delete,
    Select,
    and_,
    delete,
    literal,
    or_,
    select,
    tuple_,
)

from spanloom.model import EVALUATION, FeedbackQuery
from spanloom.store.sql.database import Database
from spanloom.store.sql.rows import FEEDBACK_COLUMNS
from spanloom.store.sql.tables import feedback, spans

_is_result = feedback.c.type == EVALUATION


def one(project: str, feedback_id: str) -> Select[Any]:
    """The feedback with an id."""
    return select(*FEEDBACK_COLUMNS).where(
        feedback.c.project == project, feedback.c.id == feedback_id
    )


def removed(project: str, feedback_id: str) -> Delete:
    return delete(feedback).where(feedback.c.project == project, feedback.c.id == feedback_id)


def listed(
    database: Database, project: str, query: FeedbackQuery, after: tuple[int, str] | None
) -> Select[Any]:
    """FEEDBACK_COLUMNS of the feedback that a query asks for, newest first."""
    found = select(*FEEDBACK_COLUMNS).where(feedback.c.project == project)
    if query.span_id:
        [trace_id] = query.trace_ids
        found = found.where(
            feedback.c.target == "span",
            feedback.c.target_id == query.span_id,
            feedback.c.trace_id.in_(("", trace_id)),
        )
    elif query.trace_ids:
        found = found.where(_on_traces(database, project, query))
    if query.conversation_id:
        found = found.where(
            feedback.c.target == "conversation", feedback.c.target_id == query.conversation_id
        )
    if query.name:
        of_type = and_(feedback.c.type == query.name, ~_is_result)
        found = found.where(or_(of_type, and_(_is_result, feedback.c.creator == query.name)))
    if query.creator:
        found = found.where(feedback.c.creator == query.creator)
    if query.is_evaluation is not None:
        found = found.where(_is_result if query.is_evaluation else ~_is_result)
    if query.since_ns is not None:
        found = found.where(feedback.c.created_ns >= query.since_ns)
    if query.before_ns is not None:
        found = found.where(feedback.c.created_ns < query.before_ns)
    key = (feedback.c.created_ns, feedback.c.id)
    if after is not None:
        found = found.where(tuple_(*key) < tuple_(literal(after[0], BigInteger), literal(after[1])))
    return found.order_by(*(column.desc() for column in key))


def _on_traces(database: Database, project: str, query: FeedbackQuery) -> ColumnElement[bool]:
    """On one of the traces, or on a span of one; a client need not have named the span's trace."""
    of_traces = select(spans.c.span_id).where(
        spans.c.project == project, database.among(spans.c.trace_id, query.trace_ids)
    )
    on_span = feedback.c.target == "span"
    return or_(
        and_(feedback.c.target == "trace", database.among(feedback.c.target_id, query.trace_ids)),
        and_(on_span, database.among(feedback.c.trace_id, query.trace_ids)),
        and_(on_span, feedback.c.trace_id == "", feedback.c.target_id.in_(of_traces)),
    )
