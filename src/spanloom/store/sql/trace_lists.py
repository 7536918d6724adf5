"""Pages of traces: what columns tell is found in parts of the list, one after
the other, until the page is full or the time is over."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import BigInteger, Connection, Select, func, literal, select, tuple_

from spanloom import errors
from spanloom.model.own_use import picodollars, used_by
from spanloom.model.summaries import (
    MOST_FIGURED,
    SpanGroup,
    SpanTest,
    SummaryQuery,
    TracePosition,
    TraceRow,
    TraceRows,
    whole_root,
)
from spanloom.store.sql import trace_filter
from spanloom.store.sql.database import Database
from spanloom.store.sql.index.search import TextSearch, Watch
from spanloom.store.sql.queries import TRACE_SPANS
from spanloom.store.sql.reading import SpanReader
from spanloom.store.sql.rows import TRACE_COLUMNS, to_trace
from spanloom.store.sql.span_groups import GroupReader
from spanloom.store.sql.tables import traces

# A page is searched for so long.
SECONDS = 1.0
# More traces than this are sorted by their start alone.
MOST_SORTED = 100_000
# Traces whose conditions are looked at in one statement, and those whose spans are read in one.
PART = 2_000
_GROUPS = 50
# A page reads no more narrow rows than this, and has at least one trace.
_MOST_ROWS = 100_000
_WIDTH = len(TRACE_COLUMNS)
_NO_GROUP = SpanGroup(spans=[], count=0, errors=0, whole={}, feedback=())


class TraceList:
    """The traces that a query asks for, in one state of the database."""

    def __init__(
        self,
        connection: Connection,
        database: Database,
        reader: SpanReader,
        project: str,
        query: SummaryQuery,
        watch: Watch,
    ) -> None:
        self._connection = connection
        self._database = database
        self._reader = reader
        self._project = project
        self._query = query
        self._watch = watch
        self._groups = GroupReader(connection, database, reader, project)
        self._of_columns = trace_filter.of_columns(project, query)
        self._of_spans = trace_filter.of_spans(query)
        self._tests: list[SpanTest] = list(query.of_spans)
        self._text: TextSearch | None = None
        if query.text:
            self._find_text(query.text)

    @property
    def needs_groups(self) -> bool:
        """Whether columns and SQL alone cannot tell which traces match."""
        query = self._query
        exact = query.min_cost is not None or query.min_tokens
        return bool(exact or query.of_root or self._tests or self._text)

    def page(self, limit: int, after: TracePosition | None) -> TraceRows:
        """One page behind a position."""
        until = time.monotonic() + SECONDS
        if self._query.order != "start":
            self._refuse_too_many()
        kept: list[TraceRow] = []
        last: TracePosition | None = None
        read = 0
        wanted = PART if self.needs_groups else limit + 1
        for part, place in self.parts(after, wanted):
            for batch in self.batches(part):
                for row, group in batch:
                    if len(kept) == limit or (kept and read > _MOST_ROWS):
                        return TraceRows(kept, last)
                    if self.holds(group):
                        kept.append(trace_row(row, group))
                        read += len(group.spans)
                    last = _position(row)
                if time.monotonic() > until and row is not part[-1]:
                    return TraceRows(kept, last)
            if time.monotonic() > until:
                return TraceRows(kept, place)
        return TraceRows(kept, None)

    def only(self, trace_id: str) -> Select[Any]:
        """The row of one trace, where it matches."""
        which = [*self._of_columns, traces.c.trace_id == trace_id]
        return trace_filter.ranked(which, self._query.order)

    def newest(self, limit: int) -> Select[Any]:
        """The rows of the newest traces that match by their columns."""
        found = trace_filter.ranked(self._of_columns, "start")
        return trace_filter.in_order(found, "start", None).limit(limit)

    def parts(
        self, after: TracePosition | None, wanted: int
    ) -> Iterator[tuple[Sequence[Any], TracePosition | None]]:
        """Rows that match as far as SQL tells, part by part, and the place that each part comes to,
        None at the end of the list."""
        by_start = self._query.order == "start"
        while True:
            self._watch.check()
            where = [*self._of_columns]
            size = min(wanted, PART)
            if by_start and self._of_spans:
                size = PART
                keys = trace_filter.ranked(where, "start").limit(size)
                window = self._connection.execute(
                    trace_filter.in_order(keys, "start", after)
                ).fetchall()
                if not window:
                    return
                end = _position(window[-1])
                where += [_not_behind(end), *self._of_spans]
                found = trace_filter.in_order(trace_filter.ranked(where, "start"), "start", after)
                part: Sequence[Any] = self._connection.execute(found).fetchall()
                number = len(window)
            else:
                ranked = trace_filter.ranked([*where, *self._of_spans], self._query.order)
                found = trace_filter.in_order(ranked, self._query.order, after).limit(size)
                part = self._connection.execute(found).fetchall()
                number = len(part)
                if not part:
                    return
                end = _position(part[-1])
            is_last = number < size
            yield part, None if is_last else end
            if is_last:
                return
            after = end

    def batches(self, part: Sequence[Any]) -> Iterator[list[tuple[Any, SpanGroup]]]:
        """The rows, each with its group, as many at once as are read at once; the group of a trace
        without the text is empty."""
        for start in range(0, len(part), _GROUPS):
            self._watch.check()
            some = part[start : start + _GROUPS]
            wanted = [row.trace_id for row in some]
            if self._text is not None:
                wanted = [trace_id for trace_id, says in self._text.among(wanted) if says]
            groups = self._groups.of_traces(wanted) if wanted else {}
            yield [(row, groups.get(row.trace_id, _NO_GROUP)) for row in some]

    def holds(self, group: SpanGroup) -> bool:
        """What SQL cannot tell of a trace."""
        if group is _NO_GROUP:
            return False
        query = self._query
        if (query.min_cost is not None or query.min_tokens) and group.count <= MOST_FIGURED:
            used = used_by(group.spans)
            if used.input_tokens + used.output_tokens < query.min_tokens:
                return False
            least = picodollars(query.min_cost)
            if least is not None and (used.cost is None or used.cost < least):
                return False
        root = whole_root(group)
        if query.of_root and (root is None or not all(test(root) for test in query.of_root)):
            return False
        return not self._tests or self._says(group)

    def _says(self, group: SpanGroup) -> bool:
        """Whether for each test a whole span of the trace meets it."""
        left = list(self._tests)
        for trace_id in {span.trace_id for span in group.spans}:
            of_trace = {"project": self._project, "trace_id": trace_id}
            with self._connection.execute(TRACE_SPANS, of_trace) as found:
                for row in found:
                    self._watch.check()
                    span = self._reader.shown(row)
                    left = [test for test in left if not test(span)]
                    if not left:
                        return True
        return False

    def _find_text(self, text: str) -> None:
        """Have the index of terms narrow the list; where it cannot, each trace is looked at."""
        search = TextSearch(
            *(self._connection, self._database, self._reader),
            *(self._project, text, self._watch),
        )
        having = search.all()
        if having is None:
            self._text = search
        else:
            self._of_columns.append(self._database.among(traces.c.trace_id, having))

    def _refuse_too_many(self) -> None:
        found = select(traces.c.trace_id).where(*self._of_columns).limit(MOST_SORTED + 1)
        number = self._connection.execute(select(func.count()).select_from(found.subquery()))
        if number.scalar_one() > MOST_SORTED:
            raise errors.invalid_field(
                "order",
                f"more than {MOST_SORTED:,} traces would have to be sorted: narrow the filter, or"
                " list them by start time",
            )


def trace_row(row: Any, group: SpanGroup) -> TraceRow:
    """From a row of `trace_filter.ranked`."""
    return TraceRow(
        place=_position(row),
        trace=to_trace(row[:_WIDTH]),
        has_root=row.version > 0,
        group=group,
    )


def _position(row: Any) -> TracePosition:
    return TracePosition(row.rank, row.start_ns, row.trace_id)


def _not_behind(place: TracePosition) -> Any:
    key = tuple_(traces.c.start_ns, traces.c.trace_id)
    return key >= tuple_(literal(place.start_ns, BigInteger), literal(place.trace_id))
