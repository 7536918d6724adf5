"""The contract of the lists that people read: traces and conversations as rows with figures, the
outline of a trace, and the log of changes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol, TypeVar

from spanloom.model.changes import Changes, StoredSpans
from spanloom.model.outline import OutlineRead
from spanloom.model.placed import Placed
from spanloom.model.span import Span
from spanloom.model.summaries import (
    ConversationQuery,
    ConversationRow,
    ConversationRows,
    Facet,
    SearchPlace,
    SummaryQuery,
    TraceCounts,
    TracePosition,
    TraceRow,
    TraceRows,
)

T = TypeVar("T")

# An experiment is compared by so many traces, the latest.
MOST_CASES = 10_000


class Summaries(Protocol):
    """Reads of columns; of each row of a list a few whole spans are read. All that `SpanStore`
    promises holds here too.

    Merging rows by key: over the newest row of each key; the log of changes is an index by version.
    """

    async def traces(
        self,
        project: str,
        query: SummaryQuery,
        *,
        limit: int,
        after: TracePosition | None = None,
    ) -> TraceRows:
        """One page of traces, in the query's order.

        A condition that no index serves is searched for about one second: the page then has what
        was found, and continues from where the search came to.

        Raises:
            INVALID_ARGUMENT: names `order`, where too many traces would have to be sorted.
        """
        ...

    async def trace(self, project: str, trace_id: str) -> TraceRow | None:
        """One trace."""
        ...

    async def count(
        self,
        project: str,
        query: SummaryQuery,
        *,
        facets: Collection[Facet],
        of_root: Mapping[Facet, Callable[[Span], str]],
        buckets: int,
        seconds: float,
    ) -> TraceCounts:
        """How many traces match, until `seconds` are over.

        Args:
            of_root: the values of the facets that only the whole root tells.
            buckets: the number of equal parts of the query's range of time; 0 for none.
        """
        ...

    async def conversations(
        self,
        project: str,
        query: ConversationQuery,
        *,
        limit: int,
        after: tuple[int, str] | None = None,
    ) -> ConversationRows:
        """One page of conversations, the last active first; searched as `traces`."""
        ...

    async def conversation(self, project: str, conversation_id: str) -> ConversationRow | None:
        """One conversation."""
        ...

    async def experiment_traces(self, project: str, experiment_id: str) -> Sequence[TraceRow]:
        """The traces of an experiment by start, then id, the latest MOST_CASES."""
        ...

    async def outline(
        self, project: str, trace_id: str, *, after: int, make: Callable[[OutlineRead], T]
    ) -> T:
        """What `make` makes of a trace's spans, those that were stored after a position.

        All is read in one state of the database, on a thread that reads. Of an unknown trace the
        order is empty.
        """
        ...

    async def search(
        self,
        project: str,
        trace_id: str,
        *,
        span_id: str = "",
        after: SearchPlace | None = None,
        visit: Callable[[Span, SearchPlace], bool],
    ) -> bool:
        """Show the whole spans of a trace, or one of them, in the order of the outline, until
        `visit` returns False; whether the trace exists.

        Args:
            after: the first place to visit.
            visit: is called on a thread that reads.
        """
        ...

    async def existing(self, project: str, trace_ids: Sequence[str]) -> set[str]:
        """Those of the traces that have spans."""
        ...

    async def placed(
        self,
        project: str,
        *,
        trace_id: str = "",
        since_ns: int | None = None,
        before_ns: int | None = None,
        limit: int,
    ) -> Placed:
        """The latest spans of a range of starts, or so many of a trace, without their contents;
        latest start first."""
        ...

    async def shared(self, project: str, *, limit: int) -> Sequence[bytes]:
        """What spans of the project share with others, as their adapter wrote it, at most `limit`.
        What only deleted spans had may be among it."""
        ...

    def own_writes(self) -> int:
        """How often this process has committed what clients wrote."""
        ...

    async def wait_for_own_write(self, number: int, seconds: float) -> None:
        """Until `own_writes` is more than a number, at most so many seconds. Nobody tells what
        other processes write."""
        ...

    async def present(self) -> int:
        """The position in the log of changes after all that is committed now."""
        ...

    async def changes(self, project: str, after: int, *, limit: int) -> Changes:
        """The spans that were stored after a position, at most `limit`, in the order in which they
        were stored.

        A position never passes a write that may still be committed. A span that is stored again is
        there once, at its new place.
        """
        ...

    async def stored(
        self, projects: Collection[str] | None, after: int, *, limit: int, size: int
    ) -> StoredSpans:
        """As `changes`, of several projects, or of all (None), with whole spans.

        Args:
            size: bytes after which no further span is read.
        """
        ...
