"""What a request may ask of the database is bounded, and the refusal names the bound."""

from __future__ import annotations

import json
from typing import Any

import pytest

from spanloom.adapters.honeyhive.query import (
    LONGEST_FIELD,
    LONGEST_VALUE,
    MOST_FILTERS,
    MOST_KEYS,
)
from tests.clients import CallError, HttpClient
from tests.contract.calls import as_dict
from tests.contract.conftest import Project


def a_filter(field: str, value: Any = "") -> dict[str, Any]:
    return {"field": field, "operator": "exists", "value": value}


TOO_LARGE = {
    "filters": [a_filter("metadata.a")] * (MOST_FILTERS + 1),
    "filters[0].field": [a_filter("metadata" + ".a" * MOST_KEYS)],
    "filters[1].field": [a_filter("metadata.a"), a_filter("metadata." + "a" * LONGEST_FIELD)],
    "filters[0].value": [a_filter("metadata.a", "x" * (LONGEST_VALUE + 1))],
}


@pytest.mark.parametrize("field", TOO_LARGE)
def test_filters_are_bounded(project: Project, field: str) -> None:
    for method in ("ExportEvents", "ListEvents", "GetEventsChart"):
        asked: Any = TOO_LARGE[field]
        if method != "ExportEvents":
            asked = json.dumps(asked)
        if len(asked) > LONGEST_VALUE:  # too long for a URL
            continue
        if method != "ExportEvents" and isinstance(project.client, HttpClient):
            continue  # Envoy repeats the URL in a header, which gRPC may refuse
        with pytest.raises(CallError) as refused:
            project.send(f"EventService/{method}", filters=asked)
        assert (refused.value.code, refused.value.reason) == ("INVALID_ARGUMENT", "INVALID_FIELD")
        assert "must have at most" in refused.value.violations[field]


@pytest.mark.parametrize("key", ['a"', "a", "[", "$", "\\", "é"])
def test_the_largest_filters_are_answered(project: Project, key: str) -> None:
    """Each key as often as a path may have it, in as many filters as a request may have."""
    event = {"event_id": "e", "session_id": "s", "event_type": "tool", "metadata": {"b": 1}}
    project.send("EventService/CreateEvent", event=event)
    path = "metadata." + ".".join([key] * (MOST_KEYS - 1))
    filters = [{"field": path, "operator": "not exists", "value": ""}] * MOST_FILTERS
    answer = project.send("EventService/ExportEvents", filters=filters)
    assert [as_dict(event)["event_id"] for event in answer.events] == ["e"]


@pytest.mark.parametrize("field", ["metric", "group_by"])
def test_the_fields_of_a_chart_are_bounded(project: Project, field: str) -> None:
    with pytest.raises(CallError, match="must have at most"):
        project.send("EventService/GetEventsChart", **{field: "metadata" + ".a" * MOST_KEYS})


def test_the_text_of_a_search_is_bounded(project: Project) -> None:
    with pytest.raises(CallError, match="must have at most 1024 characters"):
        project.send("TraceService/ListTraces", text="x" * 1025)


def test_the_updates_of_an_event_are_bounded_in_bytes(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spanloom.store.sql.event_sizes.MOST_UPDATE_BYTES", 20_000)
    event = {"event_id": "e", "session_id": "s", "event_type": "tool"}
    project.send("EventService/CreateEvent", event=event)
    for number in range(2):
        project.send("EventService/UpdateEvent", event_id="e", metadata={f"k{number}": "x" * 8000})
    with pytest.raises(CallError, match="at most 20000 bytes"):
        project.send("EventService/UpdateEvent", event_id="e", metadata={"k2": "x" * 8000})
    stored = as_dict(project.send("EventService/GetEvent", event_id="e").event)
    assert set(stored["metadata"]) == {"k0", "k1"}
