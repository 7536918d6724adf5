"""EventService: export, search, list, stream, schema and chart, by its proto file."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.clients import CallError
from tests.contract.calls import (
    EVENT,
    as_dict,
    create_events,
    create_trace,
    documented,
    export_events,
    exported_ids,
    get_trace,
)
from tests.contract.conftest import Project

HOUR = 3_600_000


def test_export_events_selects_by_string_fields(project: Project) -> None:
    events = [
        {
            "event_id": f"e{n}",
            "event_type": t,
            "event_name": name,
            "session_id": s,
            "source": "x",
            "metadata": {"deep": {"list": ["a", name]}},
        }
        for n, (t, name, s) in enumerate(
            [
                ("model", "one", "s1"),
                ("tool", "two", "s1"),
                ("model", "o'ne\"%", "s2"),
                ("chain", "ONE", "s2"),
            ]
        )
    ]
    create_events(project, *events)

    def ids(*filters: tuple[str, str]) -> set[str]:
        return {event.event_id for event in export_events(project, *filters).events}

    assert ids() == {"e0", "e1", "e2", "e3"}
    assert ids(("event_type", "model")) == {"e0", "e2"}
    assert ids(("session_id", "s1"), ("event_type", "model")) == {"e0"}
    assert ids(("event_name", "o'ne\"%")) == {"e2"}
    assert ids(("event_id", "e3")) == {"e3"}
    assert ids(("metadata.deep.list.1", "ONE")) == {"e3"}
    assert ids(("source", "x"), ("parent_id", "s2")) == {"e2", "e3"}
    assert ids(("metadata.nothing", "x")) == set()


def test_export_events_pages_newest_first_with_the_grand_total(project: Project) -> None:
    events = [{"event_id": f"{n:02}", "start_time": 1000 + n // 2} for n in range(11)]
    create_events(project, *events)
    seen = []
    for page in range(1, 5):
        answer = export_events(project, limit=3, page=page)
        assert (answer.total_events, answer.count) == (11, 11)
        # Of events of one start, the one that was sent last is the newest.
        seen += [(-event.start_time, -int(event.event_id)) for event in answer.events]
    assert len(seen) == 11
    assert seen == sorted(seen)
    assert not export_events(project, limit=3, page=5).events


def test_export_events_takes_a_range_of_time(project: Project) -> None:
    create_events(project, *({"event_id": str(n), "start_time": n * 1000} for n in range(5)))
    stretch = {"$gte": "1970-01-01T00:00:01Z", "$lte": "1970-01-01T00:00:03Z"}
    assert exported_ids(project, dateRange=stretch) == ["3", "2", "1"]


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        ({"operator": "is", "value": "x"}, "filters[0].field"),
        ({"field": "event_name", "operator": "resembles", "value": "x"}, "filters[0].operator"),
        ({"field": "event_name", "operator": "is", "value": "x", "type": "id"}, "filters[0].type"),
    ],
)
def test_export_events_names_a_bad_filter(
    project: Project, bad: dict[str, str], field: str
) -> None:
    with pytest.raises(CallError) as refused:
        export_events(project, filters=[bad])
    assert set(refused.value.violations) == {field}


def test_export_events_shows_a_trace_and_get_trace_a_session(project: Project) -> None:
    batch = documented("create_event_batch")
    project.send("EventService/CreateEventBatch", **batch)
    trace = get_trace(project, batch["events"][0]["session_id"])
    assert trace.name == "Playground Session"
    assert [(log.type, log.name) for log in trace.logs] == [("generation", "Model Completion")]
    logs = [{"id": "g", "type": "generation", "output": "a"}]
    create_trace(project, id="b", input="q", logs=logs)
    events = {e.event_id: e for e in export_events(project, ("session_id", "b")).events}
    assert {(e.event_id, e.event_type) for e in events.values()} == {
        ("b", "session"),
        ("g", "model"),
    }
    assert as_dict(events["g"].outputs) == {"output": "a"}


@pytest.mark.parametrize("names", [("$gte", "$lte"), ("gte", "lte"), ("start_time", "end_time")])
def test_export_events_and_search_events_take_a_range_of_time_in_three_spellings(
    project: Project, names: tuple[str, str]
) -> None:
    create_events(project, *({"event_id": str(n), "start_time": n * 1000} for n in range(5)))
    stretch = dict(zip(names, ("1970-01-01T00:00:01Z", "1970-01-01T00:00:03Z"), strict=True))
    assert exported_ids(project, dateRange=stretch) == ["3", "2", "1"]
    found = project.send("EventService/SearchEvents", dateRange=stretch, limit=2, page=2)
    assert ([e.event_id for e in found.events], found.count) == (["1"], 3)


def test_export_events_takes_a_range_of_time_up_to_now(project: Project) -> None:
    now = time.time() * 1000
    create_events(project, {"event_id": "new", "start_time": now - 60_000})
    create_events(project, {"event_id": "old", "start_time": now - 40 * 86_400_000})
    assert exported_ids(project, dateRange={"relative": "24h"}) == ["new"]
    assert exported_ids(project, dateRange={"relative": "2mo"}) == ["new", "old"]
    assert exported_ids(project, dateRange={"relative": "1d", "$gte": "1970-01-01T00:00:00Z"}) == [
        "new",
        "old",
    ]
    with pytest.raises(CallError) as refused:
        exported_ids(project, dateRange={"relative": "soon"})
    assert set(refused.value.violations) == {"dateRange.relative"}


def test_export_events_gives_a_filter_the_type_of_its_operator_or_value(project: Project) -> None:
    values = ("x", True, 2, "2026-02-01T00:00:00+01:00")
    create_events(
        project, *({"event_id": str(n), "metadata": {"v": v}} for n, v in enumerate(values))
    )
    for operator, value, found in (
        ("is", 2, "2"),
        ("is", True, "1"),
        ("is", "x", "0"),
        ("greater than", "1", "2"),
        ("after", "2026-01-01", "3"),
        ("is not", None, "0123"),
    ):
        asked = {"field": "metadata.v", "operator": operator, "value": value}
        assert "".join(sorted(exported_ids(project, filters=[asked]))) == found


def test_export_events_gives_only_the_projected_fields(project: Project) -> None:
    create_events(project, EVENT)
    answer = export_events(
        project, projections=["event_name", "metadata.b.deep", "inputs", "nonsense"]
    )
    assert as_dict(answer.events[0]) == {
        "event_id": "e",
        "event_type": "tool",
        "event_name": "call",
        "metadata": {"b": {"deep": 1}},
        "inputs": {"q": "hi"},
    }


def test_export_events_selects_by_evaluation(project: Project) -> None:
    create_events(project, {"event_id": "in", "metadata": {"run_id": "r"}}, {"event_id": "out"})
    assert exported_ids(project, evaluation_id="r") == ["in"]


def test_list_events_takes_filters_as_a_query_string(project: Project) -> None:
    create_events(project, *({"event_id": str(n), "metadata": {"n": n}} for n in range(4)))
    filters = [{"field": "metadata.n", "operator": "greater than", "value": "1", "type": "number"}]
    for text in (json.dumps(filters), json.dumps(filters[0])):
        answer = project.send("EventService/ListEvents", filters=text, limit=10)
        assert {e.event_id for e in answer.events} == {"2", "3"}
        assert (answer.count, answer.total_events) == (2, 2)
    for bad in ("nonsense", "[1]", "3"):
        with pytest.raises(CallError) as refused:
            project.send("EventService/ListEvents", filters=bad)
        assert set(refused.value.violations) == {"filters"}


def test_stream_events_gives_all_that_match(project: Project) -> None:
    number = 600
    create_events(
        project,
        *(
            {"event_id": f"{n:03}", "start_time": n // 7, "event_name": "ab"[n % 2]}
            for n in range(number)
        ),
    )
    found = project.send("EventService/StreamEvents", projections=["start_time"])
    seen = [(-answer.event.start_time, -int(answer.event.event_id)) for answer in found]
    assert len(seen) == number
    assert seen == sorted(seen)
    only = {"field": "event_name", "operator": "is", "value": "a"}
    assert len(project.send("EventService/StreamEvents", filters=[only])) == number // 2
    with pytest.raises(CallError) as refused:
        project.send("EventService/StreamEvents", filters=[{**only, "operator": "like"}])
    assert set(refused.value.violations) == {"filters[0].operator"}


def test_get_events_schema_names_the_fields_of_events(project: Project) -> None:
    create_events(
        project,
        {**EVENT, "metadata": {"dataset_id": "d", "list": [{"x": 1}]}},
        {"event_id": "m", "event_type": "model", "inputs": {"y": {}}},
    )
    answer = project.send("EventService/GetEventsSchema")
    fields = {(field.name, field.event_type) for field in answer.fields}
    assert {("metadata.list.0.x", "tool"), ("inputs.y", "model"), ("outputs.o", "tool")} <= fields
    assert ("outputs.o", "model") not in fields
    assert list(answer.datasets) == ["d"]


def get_events_chart(project: Project, **fields: Any) -> list[tuple[int, str, float | None, int]]:
    answer = project.send("EventService/GetEventsChart", **fields)
    assert answer.total_events == sum(point.count for point in answer.events)
    return [
        (
            point.bucket.seconds // 3600,
            point.group,
            point.value if point.HasField("value") else None,
            point.count,
        )
        for point in answer.events
    ]


def test_get_events_chart_adds_events_up_over_time(project: Project) -> None:
    durations = {0: [1, 2, 3, 10], 2: [5]}
    create_events(
        project,
        *(
            {
                "event_id": f"{hour}-{n}",
                "start_time": hour * HOUR + n,
                "duration": duration,
                "metadata": {"cost": duration / 2, "group": n % 2 if n else True},
            }
            for hour, all_of_it in durations.items()
            for n, duration in enumerate(all_of_it)
        ),
        {"event_id": "open", "start_time": 2 * HOUR},
    )
    assert get_events_chart(project) == [(0, "", 4, 4), (2, "", 5, 2)]
    assert get_events_chart(project, aggregation="count") == [(0, "", 4, 4), (2, "", 2, 2)]
    assert get_events_chart(project, aggregation="p50") == [(0, "", 2, 4), (2, "", 5, 2)]
    assert get_events_chart(project, aggregation="p99") == [(0, "", 10, 4), (2, "", 5, 2)]
    assert get_events_chart(project, aggregation="sum", metric="metadata.cost", bucket="day") == [
        (0, "", 10.5, 6)
    ]
    assert get_events_chart(project, aggregation="max", bucket="week")[0][0] == -72
    grouped = get_events_chart(
        project,
        group_by="event_id",
        filters='{"field": "event_id", "operator": "is", "value": "open"}',
    )
    assert grouped == [(2, "open", None, 1)]
    groups = {point[1] for point in get_events_chart(project, group_by="metadata.group")}
    assert {"true", ""} < groups
    assert get_events_chart(project, only_experiments=True) == []


@pytest.mark.parametrize("field", ["metric", "group_by", "bucket", "aggregation"])
def test_get_events_chart_names_a_bad_field(project: Project, field: str) -> None:
    with pytest.raises(CallError) as refused:
        project.send("EventService/GetEventsChart", **{field: "nonsense"})
    assert set(refused.value.violations) == {field}
