"""The contract of the store of spans and traces.

`ControlStore` (control.py) is the contract of everything else. tests/store holds every backend to
both.

Each method says what an engine that merges rows by key (ClickHouse's ReplacingMergeTree) can hold
of it. Such an engine commits by one INSERT of rows with versions, deletes by inserting tombstones,
and has no unique key, no row lock and no count of changed rows.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from spanloom.model import (
    AgentQuery,
    AgentTotals,
    Attachment,
    Chart,
    ChartPoint,
    Evaluation,
    EventQuery,
    Page,
    SlicedList,
    Span,
    SpanQuery,
    SpokenQuery,
    Trace,
    TraceQuery,
)
from spanloom.model.patch import Patch
from spanloom.model.usage import UsagePoint, UsageQuery
from spanloom.store.once import EACH_TIME, Once
from spanloom.store.summaries import Summaries

ALL_TRACES = TraceQuery()
NO_PATCH: Patch = {}
# Makes the whole span of what an adapter kept of it (`Sent.adapter`, `.message`, `.envelope`) and
# of its columns.
Restore = Callable[[str, bytes, bytes, Span], Span]
# The place of a span in a list: its start, its sequence, its trace, its id.
Position = tuple[int, int, str, str]
# The most points of a chart.
MOST_POINTS = 10_000


@dataclass(frozen=True, slots=True, order=True)
class RefusedSpan:
    """A span that no row can hold: its index in the call, the field (a column, or a key of the
    body), and what is wrong."""

    index: int
    field: str
    description: str


def position_of(span: Span) -> Position:
    """Where a span that the store gave is in lists of it."""
    return span.start_ns, span.sequence, span.trace_id, span.span_id


class SpanStore(Protocol):
    """Spans, and the traces, sessions, events and agents that they make up.

    A span is one whole row, named by project, trace id and span id. No call changes a part of a
    row.

    The consistency model, for any number of processes on one database:

    - **Durable.** A write returns after its rows are on disk. A process killed at any moment loses
      no write that returned.
    - **Atomic.** A write is stored as a whole or not at all, with all that follows from it: stored
      updates of the written events, deletion of an event's older place. A read sees one committed
      state.
    - **Read your writes, monotonic reads.** A read sees every write that returned before the read
      began, in any process, and never an older state than an earlier read. Reads do not wait for
      writes.
    - **Last committed write wins.** Of two writes of one row, the one that the database commits
      last is kept; versions of rows come from a counter of the database. No clock takes part, so
      clocks that differ or are set back change nothing.
    - **Idempotent.** The same write again gives the same rows.
    - **Damage stays where it is.** A span of which the store cannot read what was sent is DATA_LOSS
      where it is asked for by its id. In the answers of all other reads it has its columns, an
      error that says so, and `DAMAGED` as what was sent.

    All methods:

    - A method sees and changes rows of its project only.
    - To a session belong the spans that name it; the spans that name none (their session id is
      their trace id), where their trace's root names it, or no root names one and the earliest
      span that does names it; and all spans of a trace whose roots name it and no other.
    - Ids and texts are compared by bytes: case counts, and any character is allowed but NUL and
      lone surrogates.

    Raises, all methods:
        INVALID_ARGUMENT: a text holds NUL or a lone surrogate, an id is longer than 256 characters,
            or an integer does not fit in 64 bits. The error names the field.
        UNAVAILABLE: the database cannot be reached or refuses. A write may have been stored or not;
            it is safe to send it again. The cause is in the log `spanloom.store`.
        Any other exception: a mistake in the program. Nothing was stored.

    Raises, methods that write:
        RESOURCE_EXHAUSTED: the queue before the writer, bounded in rows and bytes, is full; or a
            limit of the project or of the caller's key is reached (`spanloom.model.limits`).
            Nothing of the call was stored.

    A write whose caller was cancelled may have been stored or not.
    """

    summaries: Summaries

    async def write_spans(
        self,
        project: str,
        spans: Sequence[Span],
        *,
        evaluations: Sequence[Evaluation] = (),
        scan_if_sampled: Collection[str] = (),
        events: bool = False,
        partial: bool = False,
        keep_ended: bool = False,
        only_own: bool = False,
    ) -> Sequence[RefusedSpan]:
        """Store spans, each in place of an earlier one of the same trace id and span id; the last
        of one identity in a call is kept.

        The row of a trace is made from the span with parent id "" (the earliest, if the call has
        several), else, if the trace has no row yet, from its earliest span in the call.

        Merging rows by key: one INSERT a call. Spans of two partitions are two INSERTs, each
        atomic.

        Args:
            evaluations: what is to be evaluated, queued with the spans.
            scan_if_sampled: ids of traces that are to be scanned for evaluators, where the trace
                was chosen for evaluation.
            events: an event id names one event in all traces. Spans that an earlier call with
                `events` stored under one of these event ids in other traces are deleted; their
                updates move, and their feedback is kept.
            partial: store what can be stored, and return the rest.
            keep_ended: a span that is open does not replace one that has ended and has the same
                start. Merging rows by key: as `record_spans`.
            only_own: a span that would replace one of another adapter cannot be stored.

        Returns:
            With `partial`, the spans that cannot be stored, by index; else an empty list.

        Raises:
            INVALID_ARGUMENT: without `partial`, a span cannot be stored; the error names
                `spans[n].field`, and for a value in the body its key: `spans[n].inputs`.
            PERMISSION_DENIED: the same for `only_own`, without names.
        """
        ...

    async def write_trace(
        self,
        project: str,
        spans: Sequence[Span],
        *,
        evaluations: Sequence[Evaluation] = (),
        replace: bool = False,
        once: Once = EACH_TIME,
        only_own: bool = False,
    ) -> None:
        """Store all spans of one trace, as `write_spans` does.

        Merging rows by key: one INSERT of the rows and of tombstones for the spans that are not
        among them.

        Args:
            evaluations: as in `write_spans`.
            replace: the trace may exist. Its spans that are not among these, its waiting
                evaluations and the feedback of evaluators are deleted; feedback of people is kept.
                Of two replacements at once one is stored, never a mixture.
            once: as of `ControlStore`.
            only_own: nothing is replaced if another adapter wrote a span of the trace.

        Raises:
            PERMISSION_DENIED: with `only_own`.
        """
        ...

    async def start_session(
        self,
        project: str,
        session: Span,
        again: Patch = NO_PATCH,
        *,
        only_own: bool = False,
    ) -> bool:
        """Store a session's span unless its trace has an event with its id; whether it was stored.

        Of calls at once, in any process, one stores.

        Merging rows by key: needs a lock in the control store, held while this looks and writes.

        Args:
            again: the update of the event that exists, stored as `patch_event` does.
            only_own: the event may have been written by the session's adapter only.

        Raises:
            PERMISSION_DENIED: with `only_own`.
        """
        ...

    async def delete_trace(self, project: str, trace_id: str) -> bool:
        """Delete a trace's spans and row, the updates of their events, waiting evaluations, and
        feedback on the trace and its spans.

        Updates of an event that has a span in another trace are kept. Feedback on a span that names
        no trace is deleted, too. A later write with this trace id makes a new trace.

        Merging rows by key: tombstones; whether the trace existed is read before.

        Returns:
            False, and nothing is deleted, when there was no such trace.
        """
        ...

    async def delete_event(self, project: str, event_id: str, *, trace_id: str = "") -> bool:
        """Delete the event with this id in the trace, or in the one trace that has it, its updates
        and feedback; False when there was none. Else as `delete_trace`.

        Raises:
            FAILED_PRECONDITION: without `trace_id`, several traces have the event.
        """
        ...

    async def delete_session(self, project: str, session_id: str) -> bool:
        """Delete the spans of this session, the rows of traces that have no others, and updates
        and feedback on all of it, the session's own included.

        When no span belongs to the session, the trace with this id is deleted: its spans may
        belong to another session. Else as `delete_trace`.

        Returns:
            False, and nothing is deleted, when there was neither.
        """
        ...

    # Spans by trace and id

    async def record_spans(
        self,
        project: str,
        spans: Sequence[Span],
        *,
        evaluations: Sequence[Evaluation] = (),
        scan_if_sampled: Collection[str] = (),
        only_own: bool = False,
    ) -> None:
        """Store spans of one adapter, which keeps the message of each (`Sent.message`), as
        `write_spans` does; but one that is open does not replace one that has ended and has the
        same start.

        Merging rows by key: what is stored is read before; two calls at once may both store.

        Args:
            only_own: nothing is stored if a span would replace one of another adapter.

        Raises:
            PERMISSION_DENIED: with `only_own`; the error names `spans[n]` of each such span.
        """
        ...

    async def find_span(self, project: str, trace_id: str, span_id: str) -> Span | None:
        """The span with these ids."""
        ...

    async def find_attachment(self, project: str, digest: bytes) -> Attachment | None:
        """A long content of a message by its SHA-256, which at least one span of the project has;
        None for none."""
        ...

    async def list_spans(
        self,
        project: str,
        query: SpanQuery,
        take: Callable[[Span], bool],
        *,
        oldest_first: bool = False,
        after: Position | None = None,
        seconds: float,
    ) -> tuple[Position | None, int]:
        """Give spans to `take`, in a thread, one after the other: newest start first, of one start
        that which was first written last; or the other way round.

        Continuing after a position skips no span and gives none twice, unless its start changes.
        Merging rows by key: as `find_events`.

        Args:
            take: False if it did not take the span, and wants no more.
            after: the position of the last span that was taken.
            seconds: the time after which no further span is given.

        Returns:
            The position of the last span that was taken, or that has not the text; None after the
            last of all. And how many spans were looked at.
        """
        ...

    def condition(self, query: SpanQuery) -> Callable[[Span], bool]:
        """Whether a whole span is one that `list_spans` gives for the query."""
        ...

    async def delete_spans(self, project: str, keys: Collection[tuple[str, str]]) -> int:
        """Delete spans by (trace id, span id), and updates and feedback on them; how many there
        were. Else as `delete_trace`."""
        ...

    async def delete_trace_spans(self, project: str, trace_id: str) -> int | None:
        """As `delete_trace`; how many spans the trace had, None when there was no such trace."""
        ...

    async def trace_spans(self, project: str, trace_id: str) -> list[Span]:
        """All spans of a trace by start, then by when each was first written; [] when unknown.
        Merging rows by key: the newest row of each key."""
        ...

    async def trace_versions(self, project: str, trace_id: str) -> list[int]:
        """The versions of a trace's spans, in ascending order; [] when unknown.

        The versions of two reads are equal only if `trace_spans` gives the same for both.
        """
        ...

    async def session_spans(self, project: str, session_id: str) -> list[Span]:
        """All spans of this session by start, then by when each was first written; [] when unknown.

        Merging rows by key: the session id is compared after the newest row of each key was chosen,
        for spans change session.
        """
        ...

    async def list_traces(
        self,
        project: str,
        query: TraceQuery = ALL_TRACES,
        *,
        limit: int,
        after: tuple[int, str] | None = None,
    ) -> SlicedList[Trace]:
        """Traces by start, the newest first, ties by trace id descending.

        A text that no index helps to find is looked for about a second: the traces found so far are
        returned, perhaps none, with the place to continue from.

        Continuing after the last trace seen skips none and repeats none, whatever is written
        meanwhile.

        Merging rows by key: traces are read from the rows of their roots; there is no second table.

        Args:
            after: (start_ns, trace_id) of the last trace seen.

        Raises:
            INVALID_ARGUMENT: names the condition that no database can hold.
        """
        ...

    async def find_event(self, project: str, event_id: str, *, trace_id: str = "") -> Span | None:
        """The span with this event id, in the trace if one is given; the one written last where
        there are several.

        Merging rows by key: the row with the highest version, found by an index of places.
        """
        ...

    async def find_events(self, project: str, query: EventQuery) -> Page[Span]:
        """One page of the events that match, and how many match in all.

        Where only a look at whole spans tells, the number is exact up to 10,000, or as far as they
        are counted in about a second once the page is full; then it is a lower bound.

        All filters hold, and the start lies within [since_ns, until_ns]. Newest start first, of one
        start that which was first written last. Events of kind session are events, too.

        Merging rows by key: candidates are found in all versions of a row, then the newest version
        of each decides.

        Raises:
            INVALID_ARGUMENT: names `filters[position].field`, `.operator`, `.type` or `.value`;
                or `limit`, where the page has more than `most_bytes`.
        """
        ...

    async def next_events(
        self, project: str, query: EventQuery, after: Span | None = None
    ) -> list[Span]:
        """The next `limit` events that match, in the order of `find_events`, after one that it
        returned; `page` is ignored. They are fewer, but at least one, where they have more than
        `most_bytes`.

        Continuing after the last event returns each event once, and each step takes as long as the
        first. Merging rows by key: as `find_events`.
        """
        ...

    async def chart(self, project: str, query: EventQuery, chart: Chart) -> list[ChartPoint]:
        """The matching events summed up, by bucket, then group; at most MOST_POINTS and one more.

        Of many events percentiles of the duration are within one percent
        (`spanloom.model.sketch`). Costs and tokens in the metadata are those of the event's
        columns, as the event reports them.

        Merging rows by key: over the newest row of each key, as any aggregate.

        Raises:
            INVALID_ARGUMENT: names `aggregation`, `metric` or `group_by`, or a filter as in
                `find_events`.
        """
        ...

    async def conversation_turns(
        self, project: str, session_id: str, *, limit: int, offset: int = 0
    ) -> tuple[list[tuple[str, list[Span]]], int]:
        """One page of a conversation's traces, the newest first by their earliest span in it, and
        how many there are.

        Each trace is its id and its spans that belong to the conversation or to none, by start,
        then by when each was first written. Merging rows by key: as `session_spans`.
        """
        ...

    async def speaking_spans(
        self,
        project: str,
        query: SpokenQuery,
        *,
        limit: int,
        after: Position | None = None,
    ) -> list[Span]:
        """Spans that may say what is asked for, newest start first.

        Every span that says it is among them; so may be one that does not: the text may be
        elsewhere in its body. Merging rows by key: as `find_events`, by an index of words.

        Args:
            after: the position of the last span seen.
        """
        ...

    async def find_agents(self, project: str, query: AgentQuery) -> Page[AgentTotals]:
        """One page of the agents that spans name, or of their versions, and how many there are.

        Tokens and costs are the spans' own use; an agent is charged with that of the spans below it
        that name no agent. Merging rows by key: own use is a function of a trace's newest rows, so
        sums are kept by trace.
        """
        ...

    async def usage(self, project: str, query: UsageQuery) -> list[UsagePoint]:
        """Usage by bucket, then group; points without spans are left out. Exact but for
        percentiles, as `UsagePoint` has it. Merging rows by key: as `find_agents`.

        Raises:
            ValueError: the query names a field that is not one of USAGE_FIELDS.
        """
        ...
