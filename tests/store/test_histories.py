"""Random histories of writes, updates, deletions and the work behind the writer, by two stores at
once: after each step every way to read gives what plain dictionaries say.

`--histories N` tries N histories a database; with --hypothesis-profile=explore they are new ones.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from spanloom.errors import SpanloomError
from spanloom.model import EventQuery, Filter, Io, Span, SpanQuery
from spanloom.model.patch import Patch
from spanloom.model.span import HONEYHIVE, Party, Sent, TraceFacts
from spanloom.model.summaries import SummaryQuery
from spanloom.model.usage import HOUR_NS, UsageQuery
from spanloom.services import trace_views
from spanloom.services.trace_views import TraceViews
from spanloom.store.sql import envelopes, sqlite
from spanloom.store.sql.index import indexer, search
from spanloom.store.sql.rederive import Range
from spanloom.store.store import Store
from spanloom.v1 import span_pb2
from tests.databases import DATABASES, new_url, select
from tests.store.plain_model import AmbiguousError, Key, PlainModel
from tests.store.samples import a_span
from tests.store.sliced import no_time, spans_saying, traces_saying
from tests.store.test_usage import QUERIES

ADAPTER = HONEYHIVE
IDS = ["a", "b", 'c"\\', "d%_'é🙂"]
TRACES = ["t", "u", "s"]
SESSIONS = ["", "", "s", "s2"]
WORDS = ["lighthouse", "harbour", "house"]
ALWAYS = UsageQuery(edges=(0, 40 * HOUR_NS))
_numbers = itertools.count(1)


def restore(adapter: str, message: bytes, envelope: bytes, columns: Span) -> Span:
    assert (adapter, envelope) == (ADAPTER, b"shared")
    said = orjson.loads(message)
    io = Io(inputs=said["inputs"], metadata=said["metadata"])
    return replace(columns, io=io, sent=Sent(ADAPTER, {"said": said}))


def reread(adapter: str, message: bytes, envelope: bytes, columns: Span) -> Span:
    span = restore(adapter, message, envelope, columns)
    said = orjson.loads(message)
    return replace(span, name=said["name"], input_tokens=said["input_tokens"])


@st.composite
def a_written_span(draw: st.DrawFn, trace_id: str = "") -> tuple[Span, Span]:
    """A span as an adapter hands it to the store, and as it is read."""
    span_id = draw(st.sampled_from(IDS))
    trace_id = trace_id or draw(st.sampled_from(TRACES))
    start = draw(st.sampled_from([0, 5, HOUR_NS, 30 * HOUR_NS]))
    said: dict[str, Any] = {
        "inputs": draw(st.sampled_from(WORDS)),
        "metadata": {"k": draw(st.sampled_from(["v1", "v2", 3]))},
        "name": draw(st.sampled_from(["n1", "n2"])),
        "input_tokens": draw(st.sampled_from([None, 0, 7])),
    }
    columns = a_span(
        span_id,
        trace_id,
        event_id=draw(st.sampled_from([span_id, span_id, span_id, *IDS])),
        session_id=draw(st.sampled_from(SESSIONS)) or trace_id,
        parent_id=draw(st.sampled_from(["", "a", "missing"])),
        name=said["name"],
        kind=draw(st.sampled_from(["model", "chain"])),
        start_ns=start,
        end_ns=draw(st.sampled_from([None, start + 10**6])),
        status=draw(st.sampled_from(["OK", "ERROR"])),
        agent_name=draw(st.sampled_from(["", "A"])),
        input_tokens=said["input_tokens"],
    )
    if draw(st.booleans()):
        sent = Sent(ADAPTER, {}, orjson.dumps(said), b"shared")
        restored = restore(ADAPTER, sent.message, sent.envelope, columns)
        return replace(columns, sent=sent), restored
    facts = TraceFacts(user=Party(id="ann"), feature_slug=draw(st.sampled_from([None, "search"])))
    io = Io(inputs=said["inputs"], metadata=said["metadata"])
    whole = replace(columns, io=io, trace=facts)
    return whole, whole


BATCHES = st.lists(a_written_span(), min_size=1, max_size=4)
# As the API of events writes them: the id of the event is that of the span.
EVENTS = BATCHES.map(
    lambda batch: [
        (replace(sent, event_id=sent.span_id), replace(read, event_id=read.span_id))
        for sent, read in batch
    ]
)
PATCHES = st.sampled_from(
    [
        {"error": "x"},
        {"error": None},
        {"metadata": {"k": "v2"}},
        {"metadata": {"k": None, "other": 1}},
        {"cleared": ["metadata"], "metadata": {"new": "v1"}},
        {"inputs": "a new harbour"},
        {"name": "renamed"},
        {"start_ns": 31 * HOUR_NS},
        {"duration_ms": 2.5},
    ]
)


class Histories(RuleBasedStateMachine):
    """One history in a new project of a database that all share. `open` is set by the test."""

    runner: asyncio.Runner
    stores: list[Store]
    url: str

    def __init__(self) -> None:
        super().__init__()
        number = next(_numbers)
        self.projects = [f"p{number}", f"p{number}-other"]
        self.models = {project: PlainModel() for project in self.projects}
        self.views = [TraceViews(store) for store in self.stores]
        self.followed: dict[str, dict[Key, int]] = {project: {} for project in self.projects}
        self.places = dict.fromkeys(self.projects, self.run(self.stores[0].summaries.present()))
        self.steps = 0

    def run(self, what: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(what)

    @property
    def store(self) -> Store:
        """The stores take turns."""
        return self.stores[self.steps % len(self.stores)]

    def next(self, is_other: bool) -> tuple[Store, str, PlainModel]:
        self.steps += 1
        project = self.projects[is_other]
        return self.store, project, self.models[project]

    # Writes

    @rule(batch=BATCHES, is_other=st.booleans())
    def write(self, batch: list[tuple[Span, Span]], is_other: bool) -> None:
        store, project, model = self.next(is_other)
        self.run(store.write_spans(project, [of[0] for of in batch]))
        model.write([of[1] for of in batch])

    @rule(first=EVENTS, second=EVENTS, third=EVENTS)
    def write_together(self, first: Any, second: Any, third: Any) -> None:
        """Calls of one store are committed in their order, mostly in one transaction."""
        store, project, model = self.next(False)
        batches = self._without_returns(model, [first, second, third])

        async def all_at_once() -> None:
            calls = [store.write_spans(project, [of[0] for of in b], events=True) for b in batches]
            await asyncio.gather(*calls)

        self.run(all_at_once())
        for batch in batches:
            model.write([of[1] for of in batch], events=True)

    @staticmethod
    def _without_returns(model: PlainModel, batches: list[Any]) -> list[Any]:
        """Without the spans of an event that moves to a trace where it was before: one that moves
        away and back within a transaction keeps its place among spans of the same start."""
        places = {event_id: [of.trace_id for of in model.event(event_id)] for event_id in IDS}
        kept: list[Any] = []
        for batch in batches:
            kept.append([])
            for of in batch:
                been = places[of[0].event_id]
                if of[0].trace_id not in been or of[0].trace_id == been[-1]:
                    been.append(of[0].trace_id)
                    kept[-1].append(of)
        return [batch for batch in kept if batch]

    @rule(batch=st.lists(a_written_span("t"), min_size=1, max_size=3))
    def replace_trace(self, batch: list[tuple[Span, Span]]) -> None:
        store, project, model = self.next(False)
        self.run(store.write_trace(project, [of[0] for of in batch], replace=True))
        model.replace("t", [of[1] for of in batch])

    @rule(span=a_written_span(), again=PATCHES)
    def start_session(self, span: tuple[Span, Span], again: Patch) -> None:
        store, project, model = self.next(False)
        stored = self.run(store.start_session(project, span[0], again))
        assert stored == model.start_session(span[1], again)

    @rule(event_id=st.sampled_from(IDS), patch=PATCHES, is_other=st.booleans())
    def update_event(self, event_id: str, patch: Patch, is_other: bool) -> None:
        store, project, model = self.next(is_other)
        try:
            model.update_event(event_id, patch)
        except AmbiguousError:
            with pytest.raises(SpanloomError, match="name one of them by trace_id"):
                self.run(store.patch_event(project, event_id, patch))
        else:
            self.run(store.patch_event(project, event_id, patch))

    @rule(event_id=st.sampled_from(IDS), patch=PATCHES, trace_id=st.sampled_from(TRACES))
    def update_event_of(self, event_id: str, patch: Patch, trace_id: str) -> None:
        store, project, model = self.next(False)
        self.run(store.patch_event(project, event_id, patch, trace_id=trace_id))
        model.update_event(event_id, patch, trace_id)

    @rule(trace_id=st.sampled_from(TRACES), span_id=st.sampled_from(IDS), patch=PATCHES)
    def update_span(self, trace_id: str, span_id: str, patch: Patch) -> None:
        store, project, model = self.next(False)
        self.run(store.patch_span(project, trace_id, span_id, patch))
        model.update_span((trace_id, span_id), patch)

    # Deletions

    @rule(event_id=st.sampled_from(IDS))
    def delete_event(self, event_id: str) -> None:
        store, project, model = self.next(False)
        try:
            found = model.delete_event(event_id)
        except AmbiguousError:
            with pytest.raises(SpanloomError, match="name one of them by trace_id"):
                self.run(store.delete_event(project, event_id))
        else:
            assert self.run(store.delete_event(project, event_id)) == found

    @rule(event_id=st.sampled_from(IDS), trace_id=st.sampled_from(TRACES))
    def delete_event_of(self, event_id: str, trace_id: str) -> None:
        store, project, model = self.next(False)
        found = self.run(store.delete_event(project, event_id, trace_id=trace_id))
        assert found == model.delete_event(event_id, trace_id)

    @rule(trace_id=st.sampled_from(TRACES), is_other=st.booleans())
    def delete_trace(self, trace_id: str, is_other: bool) -> None:
        store, project, model = self.next(is_other)
        assert self.run(store.delete_trace(project, trace_id)) == model.delete_trace(trace_id)

    @rule(session_id=st.sampled_from(["s", "s2", "t"]))
    def delete_session(self, session_id: str) -> None:
        store, project, model = self.next(False)
        found = self.run(store.delete_session(project, session_id))
        assert found == model.delete_session(session_id)

    @rule(keys=st.sets(st.tuples(st.sampled_from(TRACES), st.sampled_from(IDS)), min_size=1))
    def delete_spans(self, keys: set[Key]) -> None:
        store, project, model = self.next(False)
        assert self.run(store.delete_spans(project, keys)) == model.delete_spans(keys)

    # Work behind the writer, after which every read is as before

    @rule(at=st.integers(0, 1))
    def index(self, at: int) -> None:
        self.run(self.stores[at].indexer.step())

    @rule(at=st.integers(0, 1))
    def sum_up(self, at: int) -> None:
        self.run(self.stores[at].follower.step())

    @rule()
    def sum_up_anew(self) -> None:
        self.run(self.store.follower.renew())

    @rule()
    def index_anew(self) -> None:
        self.run(self.store._write(self.stores[0].indexer._clear))

    @rule()
    def sweep_envelopes(self) -> None:
        self.run(envelopes.delete_unused(self.store._connections))

    @rule()
    def derive_anew(self) -> None:
        async def derive() -> None:
            async for _ in self.store.rederive(reread, Range(also_current=True)):
                pass

        self.run(derive())

    @rule(is_other=st.booleans())
    def follow(self, is_other: bool) -> None:
        project = self.projects[is_other]
        mirror, more = self.followed[project], True
        while more:
            part = self.run(self.store.summaries.changes(project, self.places[project], limit=2))
            changes: list[tuple[int, Key, bool]] = [
                *((c.version, (c.span.trace_id, c.span.span_id), True) for c in part.spans),
                *((c.version, (c.trace_id, c.span_id), False) for c in part.deleted),
            ]
            for version, key, is_there in sorted(changes):
                if is_there:
                    mirror[key] = version
                else:
                    mirror.pop(key, None)
            assert part.reached >= self.places[project]
            self.places[project], more = part.reached, part.more
        spans = self.models[project].spans()
        assert mirror.keys() == spans.keys()
        stored = (self.run(self.store.trace_versions(project, of)) for of in TRACES)
        assert sorted(mirror.values()) == sorted(itertools.chain(*stored))

    # Reads

    @invariant()
    def spans_are_found(self) -> None:
        for project, model in self.models.items():
            for trace_id in TRACES:
                found = self.run(self.store.trace_spans(project, trace_id))
                assert found == model.trace(trace_id)
                versions = self.run(self.store.trace_versions(project, trace_id))
                assert versions == sorted(span.version for span in found)
                for span in found:
                    one = self.run(self.store.find_span(project, trace_id, span.span_id))
                    assert one == span
            for event_id in IDS:
                one = self.run(self.store.find_event(project, event_id))
                of_event = model.event(event_id)
                assert one in of_event if of_event else one is None

    @invariant()
    def sessions_are_found(self) -> None:
        project = self.projects[0]
        for session_id in ("s", "s2", "t", "nobody"):
            found = self.run(self.store.session_spans(project, session_id))
            assert found == self.models[project].session(session_id)

    @invariant()
    def events_are_found(self) -> None:
        for project, model in self.models.items():
            everything = model.events()
            for asked, holds in (
                ([], lambda span: True),
                ([is_("event_name", "n1")], lambda span: span.name == "n1"),
                (
                    [is_("metadata.k", "v2")],
                    lambda span: (span.io.metadata or {}).get("k") == "v2",
                ),
                (
                    [Filter(field="inputs", operator="contains", value="house")],
                    lambda span: "house" in str(span.io.inputs),
                ),
                (
                    [Filter(field="metadata.other", operator="not exists", value=None)],
                    lambda span: (span.io.metadata or {}).get("other") is None,
                ),
            ):
                wanted = [span for span in everything if holds(span)]
                query = EventQuery(filters=asked, limit=100)
                found = self.run(self.store.find_events(project, query))
                assert found.items == wanted, asked
                assert found.total == len(wanted), asked

    @invariant()
    def spans_are_listed(self) -> None:
        project = self.projects[0]
        in_order = self.models[project].in_order()
        for query, holds in (
            (SpanQuery(), lambda span: True),
            (SpanQuery(name="renamed"), lambda span: span.name == "renamed"),
            (SpanQuery(agent_name="A"), lambda span: span.agent_name == "A"),
            (SpanQuery(text="harbour"), lambda span: "harbour" in str(span.io.inputs)),
        ):
            found: list[Span] = []

            def take(span: Span, into: list[Span] = found) -> bool:
                into.append(span)
                return True

            self.run(self.store.list_spans(project, query, take, oldest_first=True, seconds=60))
            assert found == list(filter(holds, in_order))

    @invariant()
    def traces_are_listed(self) -> None:
        for project, model in self.models.items():
            wanted = {trace_id for trace_id, _ in model.spans()}
            found = self.run(self.store.list_traces(project, limit=100))
            assert sorted(trace.trace_id for trace in found) == sorted(wanted)
            rows = self.run(self.store.summaries.traces(project, SummaryQuery(), limit=100)).rows
            assert sorted(row.trace.trace_id for row in rows) == sorted(wanted)

    @invariant()
    def texts_are_found_in_slices_of_time(self) -> None:
        if self.steps % 3:
            return
        project = self.projects[0]
        spans = self.models[project].spans().values()
        saying = [span for span in spans if "harbour" in str(span.io.inputs)]
        with no_time():
            listed = self.run(spans_saying(self.store, project, "harbour"))
            traces = self.run(traces_saying(self.store, project, "harbour"))
            query = SummaryQuery(text="harbour")
            rows = self.run(self.store.summaries.traces(project, query, limit=9)).rows
        places = [(span.start_ns, span.trace_id, span.span_id) for span in listed]
        assert places == sorted(places, reverse=True)
        assert len(listed) == len(saying)
        assert all(span in saying for span in listed)
        assert sorted(traces) == sorted({span.trace_id for span in saying})
        assert sorted(row.trace.trace_id for row in rows) == sorted(traces)

    @invariant()
    def sums_are_those_of_all_spans(self) -> None:
        project = self.projects[0]
        spans = self.models[project].spans().values()
        points = self.run(self.store.usage(project, ALWAYS))
        sums = [(point.spans, point.errors) for point in points]
        errors = sum(span.status == "ERROR" for span in spans)
        assert sums == ([(len(spans), errors)] if spans else [])
        if self.steps % 2:  # the other answers take as long as all other reads together
            return
        kept = [self.run(self.store.usage(project, query)) for query in QUERIES]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("spanloom.store.sql.usage.totals.READER", -1)
            assert kept == [self.run(self.store.usage(project, query)) for query in QUERIES]

    @invariant()
    def views_are_those_of_the_spans(self) -> None:
        project = self.projects[0]

        def make(spans: list[Span]) -> span_pb2.Span:
            return span_pb2.Span(name=repr(spans))

        for views in self.views:
            view = self.run(views.get(project, "t", b"v", make))
            spans = self.models[project].trace("t")
            assert (view.name if view else "[]") == repr(
                self.run(self.store.trace_spans(project, "t"))
            )
            assert (view is None) == (not spans)

    @invariant()
    def every_row_has_its_body_and_its_event_id(self) -> None:
        bodies = "SELECT span_version FROM bodies ORDER BY 1"
        assert select(self.url, bodies) == select(
            self.url, "SELECT version FROM spans ORDER BY version"
        )
        if self.url.startswith("sqlite"):
            assert select(
                self.url,
                "SELECT event_id, version FROM recent_event_ids UNION ALL "
                "SELECT event_id, version FROM event_ids ORDER BY version",
            ) == select(self.url, "SELECT event_id, version FROM spans ORDER BY version")

    def teardown(self) -> None:
        for project in self.projects:
            for trace_id in TRACES:
                self.run(self.stores[0].delete_trace(project, trace_id))


def is_(field: str, value: str) -> Filter:
    return Filter(field=field, operator="is", value=value)


@pytest.fixture(params=DATABASES)
def new_database(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return new_url(request.param, tmp_path)


def test_reads_are_as_plain_dictionaries_say(
    new_database: str, monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> None:
    monkeypatch.setattr(sqlite, "_MOST_RECENT", 4)
    monkeypatch.setattr(sqlite, "_COMMITS_A_COUNT", 2)
    monkeypatch.setattr(sqlite, "_MOVED_AT_ONCE", 3)
    monkeypatch.setattr(indexer, "BATCH", 3)
    monkeypatch.setattr(indexer, "_LEASE_NS", 0)
    monkeypatch.setattr(trace_views, "_FEWEST_SPANS", 0)
    for name in ("_SLICE", "_LARGEST_SLICE", "_LOOKED_AT", "_WHOLE", "_TRACES"):
        monkeypatch.setattr(search, name, 2)
    with asyncio.Runner() as runner:
        stores = [runner.run(Store.open(new_database, restore=restore)) for _ in range(2)]
        known = {"runner": runner, "stores": stores, "url": new_database}
        machine = type("Histories", (Histories,), known)
        number = pytestconfig.getoption("histories")
        run_state_machine_as_test(
            machine,
            # To shrink a history would run a hundred others, each with all reads.
            settings=settings(max_examples=number, stateful_step_count=25, phases=[Phase.generate]),
        )
        for store in stores:
            runner.run(store.close())
