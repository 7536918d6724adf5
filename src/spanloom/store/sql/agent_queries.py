"""The statements behind conversations and messages."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    and_,
    distinct,
    func,
    literal_column,
    or_,
    select,
    tuple_,
)

from spanloom.model import Span, SpokenQuery
from spanloom.store.spans import Position
from spanloom.store.sql.database import Database
from spanloom.store.sql.index.terms import said, without_escapes
from spanloom.store.sql.predicates import PLAIN
from spanloom.store.sql.reading import select_whole
from spanloom.store.sql.tables import is_text, spans

PLACE = (spans.c.start_ns, spans.c.sequence, spans.c.trace_id, spans.c.span_id)
# The order of `speaking_spans`.
NEWEST_SPANS = ("-start_ns", "-sequence", "-trace_id", "-span_id")
_FOREIGN = re.compile(r"[^\x00-\x7f]+")


def names_agent(name: str) -> ColumnElement[bool]:
    """Whether a span names this agent, in the words of the index on agents."""
    return and_(is_text(spans.c.agent_name, name), spans.c.agent_name != literal_column("''"))


def conversation_traces(
    project: str, belongs: ColumnElement[bool]
) -> tuple[Select[Any], Select[Any]]:
    """The traces of a conversation, the newest first by their earliest span in it, and how many
    there are. `belongs` is as of `sessions`."""
    in_it = (spans.c.project == project, belongs)
    listed = (
        select(spans.c.trace_id)
        .where(*in_it)
        .group_by(spans.c.trace_id)
        .order_by(func.min(spans.c.start_ns).desc(), spans.c.trace_id.desc())
    )
    return listed, select(func.count(distinct(spans.c.trace_id))).where(*in_it)


def turn_spans(
    database: Database, project: str, belongs: ColumnElement[bool], trace_ids: list[str]
) -> Select[Any]:
    """These traces' spans that belong to the conversation or to none."""
    found = select(spans).where(
        spans.c.project == project,
        database.among(spans.c.trace_id, trace_ids),
        or_(belongs, spans.c.session_id == spans.c.trace_id),
    )
    return select_whole(found, ("start_ns", "sequence", "span_id"))


def speaking_spans(project: str, query: SpokenQuery, after: Position | None) -> Select[Any]:
    """The rows of the spans that fulfil all that the query asks of columns but for the session;
    `after` is the position of one, in the order of NEWEST_SPANS."""
    where: list[ColumnElement[bool]] = [spans.c.project == project]
    for column, value in (
        (spans.c.trace_id, query.trace_id),
        (func.lower(spans.c.provider), query.provider.lower()),
        (spans.c.model, query.model),
    ):
        if value:
            where.append(column == value)
    if query.agent_name:
        where.append(names_agent(query.agent_name))
    if query.since_ns is not None:
        where.append(spans.c.start_ns >= query.since_ns)
    if query.before_ns is not None:
        where.append(spans.c.start_ns < query.before_ns)
    if after is not None:
        # The first condition says nothing new, but an index on the start can be entered by it.
        where += [spans.c.start_ns <= after[0], tuple_(*PLACE) < tuple_(*after)]
    return select(spans).where(*where)


def may_say(text: str) -> Callable[[Span], bool]:
    """A condition that each span meets which may say the text, in whatever JSON it was sent.

    A part of the text that no writer escapes is in the JSON as it is; a letter outside ASCII as it
    is or as \\uXXXX.
    """
    text = without_escapes(text)
    plain = max(PLAIN.findall(text), key=len, default="")
    foreign = max(_FOREIGN.findall(text), key=len, default="")

    def holds(span: Span) -> bool:
        texts = said(span)
        return any(plain in one for one in texts) and (
            not foreign or any(foreign in one or "\\u" in one for one in texts)
        )

    return holds
