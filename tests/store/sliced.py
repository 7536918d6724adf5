"""Reads in slices of time, from their first page to their last one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from spanloom.model import Span, SpanQuery, TraceQuery
from spanloom.store.spans import Position
from spanloom.store.sql.index import search, sieve
from spanloom.store.store import Store


@contextmanager
def no_time() -> Iterator[None]:
    """Each page of a search is over as soon as it has come further, and no search is short."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sieve, "MOST_YOUNG", -1)
        patch.setattr(search, "SLICE_SECONDS", -1)
        patch.setattr(search, "_BEFORE_SECONDS", -1)
        yield


async def spans_saying(store: Store, project: str, text: str) -> list[Span]:
    """All spans that say a text."""
    found: list[Span] = []

    def take(span: Span) -> bool:
        found.append(span)
        return True

    query = SpanQuery(text=text)
    after: Position | None = None
    while True:
        after, _ = await store.list_spans(project, query, take, after=after, seconds=0)
        if after is None:
            return found


async def traces_saying(store: Store, project: str, text: str) -> list[str]:
    """The ids of all traces that say a text."""
    found: list[str] = []
    after: tuple[int, str] | None = None
    while True:
        page = await store.list_traces(project, TraceQuery(text=text), limit=2, after=after)
        found += [trace.trace_id for trace in page]
        after = page.resume
        if after is None and len(page) == 2:
            after = (page[-1].start_ns, page[-1].trace_id)
        if after is None:
            return found
