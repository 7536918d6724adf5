"""The narrow rows of the spans of many traces or conversations, and the few whole ones of each that
tell what went in and came out."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, case, func, or_, select

from spanloom.model import Feedback, Span
from spanloom.model.summaries import MOST_FIGURED, SpanGroup, root_of
from spanloom.store.spans import position_of
from spanloom.store.sql import rows
from spanloom.store.sql.database import Database
from spanloom.store.sql.reading import SPAN_NAMES, SpanReader, from_columns, select_whole
from spanloom.store.sql.rows import FEEDBACK_COLUMNS
from spanloom.store.sql.tables import feedback, spans

_ORDER = ("start_ns", "sequence", "trace_id", "span_id")
_SPAN_COLUMNS = [*(spans.c[name] for name in SPAN_NAMES), spans.c.sequence]
_FAILED = func.sum(case((spans.c.status == "ERROR", 1), else_=0))


class GroupReader:
    """Reads groups of spans in one state of the database."""

    def __init__(
        self, connection: Connection, database: Database, reader: SpanReader, project: str
    ) -> None:
        self._connection = connection
        self._database = database
        self._reader = reader
        self._project = project

    def of_traces(self, trace_ids: Collection[str]) -> dict[str, SpanGroup]:
        """The group of each trace. A trace without spans has an empty one."""
        counted = self._counted(trace_ids)
        small = [trace_id for trace_id, (count, _) in counted.items() if count <= MOST_FIGURED]
        found: dict[str, list[Span]] = {trace_id: [] for trace_id in trace_ids}
        for span in self._narrow(self._in_traces(small)):
            found[span.trace_id].append(span)
        for trace_id in counted.keys() - set(small):
            found[trace_id] = self._some_of(self._in_traces([trace_id]))
        whole = self._whole(key for spans in found.values() for key in telling(spans))
        judged = self._feedback_on_traces(trace_ids)
        return {
            trace_id: SpanGroup(
                spans=spans,
                count=counted.get(trace_id, (0, 0))[0],
                errors=counted.get(trace_id, (0, 0))[1],
                whole={key: whole[key] for key in telling(spans) if key in whole},
                feedback=judged.get(trace_id, ()),
            )
            for trace_id, spans in found.items()
        }

    def of_conversation(self, conversation_id: str) -> tuple[int, list[str], SpanGroup]:
        """The number of the conversation's traces; their ids by their first span, of too many the
        first one and the latest; and the group of these: the spans that name the conversation, and
        those that name none."""
        of_it = and_(spans.c.project == self._project, spans.c.session_id == conversation_id)
        first = func.min(spans.c.start_ns)
        query = select(spans.c.trace_id).where(of_it).group_by(spans.c.trace_id)
        trace_ids = list(self._connection.execute(query.order_by(first)).scalars())
        number = len(trace_ids)
        if number > MOST_FIGURED:
            trace_ids = [trace_ids[0], *trace_ids[-MOST_FIGURED:]]
        named = or_(spans.c.session_id == conversation_id, spans.c.session_id == spans.c.trace_id)
        which = and_(self._in_traces(trace_ids), named)
        counted = select(func.count(), func.coalesce(_FAILED, 0)).where(which)
        count, errors = self._connection.execute(counted).one()
        found = self._narrow(which) if count <= MOST_FIGURED else self._some_of(which)
        of_ends = [
            key
            for trace_id in {*trace_ids[:1], *trace_ids[-1:]}
            for key in telling([span for span in found if span.trace_id == trace_id])
        ]
        judged = self._feedback_on_traces(trace_ids).values()
        on_it = self._feedback(
            feedback.c.target == "conversation", feedback.c.target_id == conversation_id
        )
        group = SpanGroup(
            spans=found,
            count=count,
            errors=errors,
            whole=self._whole(of_ends),
            feedback=[*on_it, *(item for of_trace in judged for item in of_trace)],
        )
        return number, trace_ids, group

    def _in_traces(self, trace_ids: Collection[str]) -> ColumnElement[bool]:
        among = self._database.among(spans.c.trace_id, trace_ids)
        return and_(spans.c.project == self._project, among)

    def _counted(self, trace_ids: Collection[str]) -> dict[str, tuple[int, int]]:
        query = select(spans.c.trace_id, func.count(), _FAILED)
        query = query.where(self._in_traces(trace_ids)).group_by(spans.c.trace_id)
        found = self._connection.execute(query)
        return {trace_id: (count, int(errors)) for trace_id, count, errors in found}

    def _narrow(self, which: ColumnElement[bool], limit: int | None = None) -> list[Span]:
        query = select(*_SPAN_COLUMNS).where(which)
        if limit is not None:
            query = query.limit(limit)
        found = []
        for row in self._connection.execute(query):
            span = from_columns(row)
            span.sequence = row.sequence
            found.append(span)
        # Here, for the rows come by the primary key, and most are of small traces.
        return sorted(found, key=position_of)

    def _some_of(self, which: ColumnElement[bool]) -> list[Span]:
        """MOST_FIGURED of many spans, the earliest roots among them."""
        earliest = select(spans.c.version).where(which, spans.c.parent_id == "")
        first = earliest.order_by(spans.c.start_ns).limit(1)
        roots = self._narrow(spans.c.version.in_(self._connection.execute(first).scalars().all()))
        # The roots may be among the others, for these come in no certain order.
        others = self._narrow(which, limit=MOST_FIGURED)
        found = {(span.trace_id, span.span_id): span for span in [*roots, *others]}
        return sorted([*found.values()][:MOST_FIGURED], key=position_of)

    def _whole(self, keys: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Span]:
        wanted = set(keys)
        which = and_(
            self._in_traces({trace_id for trace_id, _ in wanted}),
            self._database.among(spans.c.span_id, {span_id for _, span_id in wanted}),
        )
        query: Select[Any] = select_whole(select(spans).where(which), _ORDER)
        found = (self._reader.shown(row) for row in self._connection.execute(query))
        return {(span.trace_id, span.span_id): span for span in found}

    def _feedback_on_traces(self, trace_ids: Collection[str]) -> dict[str, list[Feedback]]:
        """By trace id, the feedback on traces and their spans."""
        database = self._database
        found: dict[str, list[Feedback]] = {}
        on_traces = database.among(feedback.c.target_id, trace_ids)
        for item in self._feedback(feedback.c.target == "trace", on_traces):
            found.setdefault(item.target_id, []).append(item)
        named = database.among(feedback.c.trace_id, trace_ids)
        for item in self._feedback(feedback.c.target == "span", named):
            found.setdefault(item.trace_id, []).append(item)
        # Feedback whose trace the client did not name is on each span of its id.
        on_span = and_(
            feedback.c.project == spans.c.project,
            feedback.c.target == "span",
            feedback.c.target_id == spans.c.span_id,
            feedback.c.trace_id == "",
        )
        query = (
            select(*FEEDBACK_COLUMNS, spans.c.trace_id)
            .select_from(spans)
            .join(feedback, on_span)
            .where(self._in_traces(trace_ids))
        )
        for *row, trace_id in self._connection.execute(query):
            found.setdefault(trace_id, []).append(rows.to_feedback(row))
        return found

    def _feedback(self, *which: ColumnElement[bool]) -> list[Feedback]:
        query = select(*FEEDBACK_COLUMNS).where(feedback.c.project == self._project, *which)
        return [rows.to_feedback(row) for row in self._connection.execute(query)]


def telling(spans: Sequence[Span]) -> list[tuple[str, str]]:
    """The keys of those of a trace's spans, by start, that tell what went in and came out: the
    root, the first model call and the last one."""
    models = [span for span in spans if span.kind == "model"]
    found = [root_of(spans), *models[:1], *models[-1:]]
    return list(dict.fromkeys((span.trace_id, span.span_id) for span in found if span))
