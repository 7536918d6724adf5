"""The numbers of traces, by facet and over time, until the time is over."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, select

from spanloom.model import Span
from spanloom.model.summaries import Facet, SpanGroup, SummaryQuery, TraceCounts, whole_root
from spanloom.store.sql.database import Database
from spanloom.store.sql.tables import spans
from spanloom.store.sql.trace_lists import PART, TraceList

# What the rows of traces tell, and what those of their spans.
_OF_TRACE = {"name": "name", "feature": "feature_slug", "user": "user_id"}
_OF_SPANS: dict[Facet, ColumnElement[Any]] = {"model": spans.c.model, "agent": spans.c.agent_name}


class TraceCounter:
    """Counts the traces of a list.

    Args:
        of_root: the value of each facet that only the whole root tells.
    """

    def __init__(
        self,
        connection: Connection,
        database: Database,
        project: str,
        query: SummaryQuery,
        *,
        facets: Collection[Facet],
        of_root: Mapping[Facet, Callable[[Span], str]],
        buckets: int,
    ) -> None:
        self._connection = connection
        self._database = database
        self._project = project
        self._query = query
        self._of_root = {facet: of_root[facet] for facet in facets if facet in of_root}
        self._facets: dict[Facet, Counter[str]] = {facet: Counter() for facet in facets}
        self._all, self._failed = [0] * buckets, [0] * buckets
        self._total = 0

    def count(self, listed: TraceList, seconds: float) -> TraceCounts:
        """The numbers of the list, of as much of it as there is time for."""
        until = time.monotonic() + seconds
        complete = True
        for part, place in listed.parts(None, PART):
            matching = list(part)
            if listed.needs_groups or self._of_root:
                matching = []
                for batch in listed.batches(part):
                    for row, group in batch:
                        if listed.holds(group):
                            matching.append(row)
                            self._count_root(group)
                    if time.monotonic() > until:
                        complete = row is part[-1] and place is None
                        break
            self._count(matching)
            if time.monotonic() > until:
                complete = complete and place is None
                break
        return TraceCounts(
            self._total, complete, self._facets, list(zip(self._all, self._failed, strict=True))
        )

    def _count(self, matching: Sequence[Any]) -> None:
        self._total += len(matching)
        ids = [row.trace_id for row in matching]
        for facet, counter in self._facets.items():
            if facet == "status":
                counter.update(row.status if row.version else "UNSET" for row in matching)
            elif facet in _OF_TRACE:
                counter.update(getattr(row, _OF_TRACE[facet]) for row in matching)
            elif facet in _OF_SPANS:
                self._count_spans(counter, _OF_SPANS[facet], ids)
        if self._all:
            self._count_buckets(matching, ids)

    def _count_spans(
        self, counter: Counter[str], column: ColumnElement[Any], ids: Sequence[str]
    ) -> None:
        having = select(spans.c.trace_id, column).where(self._in_traces(ids), column != "")
        found = self._connection.execute(having.distinct()).fetchall()
        counter.update(value for _, value in found)
        without = len(ids) - len({trace_id for trace_id, _ in found})
        if without:
            counter[""] += without

    def _count_root(self, group: SpanGroup) -> None:
        root = whole_root(group)
        for facet, value_of in self._of_root.items():
            self._facets[facet][value_of(root) if root else ""] += 1

    def _count_buckets(self, matching: Sequence[Any], ids: Sequence[str]) -> None:
        failed = select(spans.c.trace_id).where(self._in_traces(ids), spans.c.status == "ERROR")
        having = set(self._connection.execute(failed.distinct()).scalars())
        since, before = self._query.since_ns or 0, self._query.before_ns or 0
        for row in matching:
            place = (row.start_ns - since) * len(self._all) // (before - since)
            self._all[place] += 1
            self._failed[place] += row.trace_id in having

    def _in_traces(self, ids: Collection[str]) -> ColumnElement[bool]:
        among = self._database.among(spans.c.trace_id, ids)
        return (spans.c.project == self._project) & among
