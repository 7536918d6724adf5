"""Any tree of events becomes its events, each with the event around it as its parent."""

from __future__ import annotations

from typing import Any

from google.protobuf import json_format
from hypothesis import given
from hypothesis import strategies as st

from spanloom.adapters.honeyhive.incoming import sent_batch
from spanloom.adapters.honeyhive.read import read_batch
from spanloom.v1.event_service_pb2 import CreateEventBatchRequest

# A list of trees, as the lists of children of each node.
TREES: st.SearchStrategy[list[Any]] = st.recursive(
    st.just([]), lambda below: st.lists(below, max_size=3), max_leaves=12
)


def named(children: list[Any], name: str) -> dict[str, Any]:
    """The event of a node; the name of an event begins with that of the event around it."""
    inside = [named(below, f"{name}.{n}") for n, below in enumerate(children)]
    event = {"event_id": name, "event_type": "chain"}
    return {**event, "children": inside} if inside else event


def names(event: dict[str, Any]) -> list[str]:
    below = [name for child in event.get("children", ()) for name in names(child)]
    return [event["event_id"], *below]


@given(st.lists(TREES, min_size=1, max_size=3))
def test_a_tree_of_events_is_its_events(trees: list[Any]) -> None:
    events = [named(tree, f"e{n}") for n, tree in enumerate(trees)]
    request = json_format.ParseDict({"events": events}, CreateEventBatchRequest())
    before = request.SerializeToString(deterministic=True)
    for brief in (False, True):
        batch = sent_batch(request) if brief else request
        read = read_batch(batch, received_ns=1_700_000_000 * 10**9)
        assert sorted(read.event_ids) == sorted(name for event in events for name in names(event))
        assert read.event_ids[: len(events)] == [event["event_id"] for event in events]
        sessions = {span.event_id: span.session_id for span in read.spans}
        for span in read.spans:
            around, _, _ = span.event_id.rpartition(".")
            assert span.parent_id == (around or span.session_id)
            assert span.session_id == sessions[span.event_id.partition(".")[0]]
    assert request.SerializeToString(deterministic=True) == before
