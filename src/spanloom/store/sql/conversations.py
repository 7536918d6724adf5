"""Pages of conversations, the last active first.

Spans are passed from the newest start on. The first of a conversation that is met is its latest
one, so each conversation is found where it belongs, without a sum over all spans. Whether a span is
the latest of its conversation is one seek in an index.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    and_,
    literal,
    or_,
    select,
    tuple_,
)

from spanloom.model import Trace
from spanloom.model.summaries import (
    ConversationQuery,
    ConversationRow,
    ConversationRows,
)
from spanloom.store.sql.database import Database
from spanloom.store.sql.index.search import Watch
from spanloom.store.sql.reading import SpanReader
from spanloom.store.sql.rows import TRACE_COLUMNS, to_trace
from spanloom.store.sql.span_groups import GroupReader
from spanloom.store.sql.tables import spans, traces
from spanloom.store.sql.trace_filter import found_by_index

# A page is searched for so long.
SECONDS = 1.0
# Spans that are passed in one statement.
_PART = 2_000
# A page reads no more narrow rows than this, and has at least one conversation.
_MOST_ROWS = 100_000

_other = spans.alias("other")
_same = and_(_other.c.project == spans.c.project, _other.c.session_id == spans.c.session_id)
# Of several spans with the latest start the one that was stored last.
_IS_LATEST = ~found_by_index(
    _same,
    _other.c.start_ns >= spans.c.start_ns,
    or_(_other.c.start_ns > spans.c.start_ns, _other.c.version > spans.c.version),
)
# A span that names no conversation has its trace's id, and belongs to the conversation that
# another span of its trace names.
_IS_NAMED = or_(
    spans.c.session_id != spans.c.trace_id,
    ~found_by_index(
        _other.c.project == spans.c.project,
        _other.c.trace_id == spans.c.trace_id,
        _other.c.session_id != _other.c.trace_id,
    ),
)


class ConversationList:
    """The conversations that a query asks for, in one state of the database."""

    def __init__(
        self,
        connection: Connection,
        database: Database,
        reader: SpanReader,
        project: str,
        query: ConversationQuery,
        watch: Watch,
    ) -> None:
        self._connection = connection
        self._database = database
        self._project = project
        self._query = query
        self._watch = watch
        self._groups = GroupReader(connection, database, reader, project)

    def page(self, limit: int, after: tuple[int, str] | None) -> ConversationRows:
        """One page behind a position."""
        until = time.monotonic() + SECONDS
        kept: list[ConversationRow] = []
        last = after
        read = 0
        for found, place in self._parts(after):
            for last_ns, conversation_id in found:
                self._watch.check()
                if len(kept) == limit or (kept and read > _MOST_ROWS):
                    return ConversationRows(kept, last)
                row = self.row(conversation_id, last_ns)
                if self._holds(row):
                    kept.append(row)
                    read += len(row.group.spans)
                last = (last_ns, conversation_id)
                if time.monotonic() > until:
                    return ConversationRows(kept, last)
            if time.monotonic() > until:
                return ConversationRows(kept, place)
        return ConversationRows(kept, None)

    def find(self, conversation_id: str) -> ConversationRow | None:
        """The conversation with this id."""
        latest = (
            select(spans.c.start_ns)
            .where(
                spans.c.project == self._project,
                spans.c.session_id == conversation_id,
                _IS_NAMED,
            )
            .order_by(spans.c.start_ns.desc())
            .limit(1)
        )
        last_ns = self._connection.execute(latest).scalar()
        return None if last_ns is None else self.row(conversation_id, last_ns)

    def row(self, conversation_id: str, last_ns: int) -> ConversationRow:
        number, trace_ids, group = self._groups.of_conversation(conversation_id)
        among = self._database.among(traces.c.trace_id, trace_ids)
        query = select(*TRACE_COLUMNS).where(traces.c.project == self._project, among)
        of_ids = {trace.trace_id: trace for trace in map(to_trace, self._connection.execute(query))}
        return ConversationRow(
            conversation_id=conversation_id,
            last_ns=last_ns,
            trace_count=number,
            traces=[of_ids.get(trace_id, Trace(trace_id=trace_id)) for trace_id in trace_ids],
            group=group,
        )

    def _parts(
        self, after: tuple[int, str] | None
    ) -> Iterator[tuple[Sequence[tuple[int, str]], tuple[int, str] | None]]:
        """Conversations in their order, part by part, and the place that each part comes to.

        The rows of a part are spans; those with the same start are ordered by conversation.
        """
        query = self._query
        where: list[ColumnElement[bool]] = [spans.c.project == self._project]
        if query.since_ns is not None:
            where.append(spans.c.start_ns >= query.since_ns)
        if query.before_ns is not None:
            where.append(spans.c.start_ns < query.before_ns)
        key = (spans.c.start_ns, spans.c.session_id)
        order = [column.desc() for column in key]
        while True:
            self._watch.check()
            behind = list(where)
            if after is not None:
                behind += [
                    spans.c.start_ns <= after[0],  # for the index
                    tuple_(*key) < tuple_(literal(after[0], BigInteger), literal(after[1])),
                ]
            window = select(*key).where(*behind).order_by(*order).limit(_PART)
            passed = self._connection.execute(window).fetchall()
            if not passed:
                return
            end = (passed[-1].start_ns, passed[-1].session_id)
            latest = (
                select(*key)
                .where(
                    *behind,
                    spans.c.start_ns >= end[0],
                    tuple_(*key) >= tuple_(literal(end[0], BigInteger), literal(end[1])),
                    _IS_LATEST,
                    _IS_NAMED,
                )
                .distinct()
                .order_by(*order)
            )
            found = [(row.start_ns, row.session_id) for row in self._connection.execute(latest)]
            is_last = len(passed) < _PART
            yield found, None if is_last else end
            if is_last:
                return
            after = end

    def _holds(self, row: ConversationRow) -> bool:
        query, group = self._query, row.group
        return (
            row.trace_count >= query.min_traces
            and _any_is(row.traces, "user_id", query.user_id)
            and _any_is(row.traces, "feature_slug", query.feature_slug)
            and _any_is(group.spans, "agent_name", query.agent_name)
            and _any_is(group.spans, "model", query.model)
            and query.has_error in (None, group.errors > 0)
            and query.has_feedback in (None, bool(group.feedback))
        )


def _any_is(items: Sequence[Any], name: str, value: str) -> bool:
    return not value or any(getattr(item, name) == value for item in items)
