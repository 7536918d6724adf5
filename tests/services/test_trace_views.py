"""Views of large traces are made once, and again after every change of the trace."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.wrappers_pb2 import StringValue

from spanloom.model import Span
from spanloom.services.trace_views import TraceViews
from spanloom.store.store import Store
from tests.store.samples import a_span

MANY = 101


class Views:
    """The views of one project, with the number of times that they were made."""

    def __init__(self, store: Store, project: str) -> None:
        self.store, self.project = store, project
        self.made = 0
        self._views = TraceViews(store)

    def names(self, view: bytes = b"") -> list[str]:
        """The names of the trace's spans, from a view."""

        def make(spans: list[Span]) -> StringValue:
            self.made += 1
            return StringValue(value=",".join(span.name for span in spans))

        found = asyncio.run(self._views.get(self.project, "t", view, make))
        return [] if found is None else found.value.split(",")

    def write(self, *spans: Span, events: bool = False) -> None:
        asyncio.run(self.store.write_spans(self.project, spans, events=events))


@pytest.fixture
def views(store: Store, request: pytest.FixtureRequest) -> Views:
    found = Views(store, f"views-{request.node.name}")
    found.write(*SPANS)
    return found


SPANS = [
    a_span(trace_id="t", span_id=f"{n:03}", event_id=f"{n:03}", session_id="t", name=f"n{n}")
    for n in range(MANY)
]
NAMES = [span.name for span in SPANS]


def test_a_view_is_made_once(views: Views) -> None:
    assert views.names() == NAMES
    assert views.names() == NAMES
    assert views.made == 1


def test_each_view_of_a_trace_is_its_own(views: Views) -> None:
    assert views.names(b"one") == views.names(b"other") == NAMES
    assert views.made == 2


def _delete_trace(views: Views) -> None:
    asyncio.run(views.store.delete_trace(views.project, "t"))


def _update(views: Views) -> None:
    asyncio.run(views.store.patch_event(views.project, "050", {"name": "updated"}))


CHANGES: dict[str, tuple[Callable[[Views], Any], list[str]]] = {
    "another span": (lambda v: v.write(replace(SPANS[0], span_id="999", name="new")), []),
    "the same span again": (lambda v: v.write(SPANS[7]), NAMES),
    "another span in its place": (lambda v: v.write(replace(SPANS[7], name="again")), []),
    "an update": (_update, []),
    "a deleted span": (
        lambda v: asyncio.run(v.store.delete_event(v.project, "100")),
        NAMES[:-1],
    ),
    "a deleted trace": (_delete_trace, []),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_view_is_made_again_after(views: Views, change: str) -> None:
    views.names()
    make_change, expected = CHANGES[change]
    make_change(views)
    fresh = asyncio.run(views.store.trace_spans(views.project, "t"))
    assert views.names() == [span.name for span in fresh]
    assert not expected or views.names() == expected
    assert views.made == (1 if change == "a deleted trace" else 2)


def test_a_small_trace_is_not_kept(store: Store) -> None:
    views = Views(store, "views-small")
    views.write(SPANS[0])
    assert views.names() == views.names() == NAMES[:1]
    assert views.made == 2


def test_views_do_not_grow_without_bound(views: Views, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spanloom.services.trace_views._MOST_BYTES", 4000)
    for view in (b"a", b"b", b"c", b"d"):
        views.names(view)
    made = views.made
    views.names(b"d")
    assert views.made == made
    views.names(b"a")
    assert views.made == made + 1
