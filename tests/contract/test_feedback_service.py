"""FeedbackService, by its promises in proto/spanloom/v1/feedback_service.proto."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients import CallError
from tests.contract.calls import as_dict, create_feedback, query_feedback
from tests.contract.conftest import Project


def test_create_feedback_replaces_the_feedback_of_its_id(project: Project) -> None:
    for note in ("first", "second"):
        answer = create_feedback(
            project, id="f", weave_ref="weave:///e/p/agent_turn/t", payload={"note": note}
        )
        assert answer.id == "f"
    found = query_feedback(project)
    assert [as_dict(f.payload) for f in found] == [{"note": "second"}]


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"weave_ref": ""}, "weave_ref"),
        ({"feedback_type": ""}, "feedback_type"),
        ({"payload": {"note": "x" * 1025}}, "payload.note"),
        ({"span_trace_id": "another"}, "span_trace_id"),
        (
            {"weave_ref": "weave:///e/p/agent_conversation/c", "span_trace_id": "t"},
            "span_trace_id",
        ),
    ],
)
def test_create_feedback_names_a_bad_field(
    project: Project, fields: dict[str, Any], named: str
) -> None:
    with pytest.raises(CallError) as refused:
        create_feedback(project, **{"weave_ref": "weave:///e/p/agent_turn/t", **fields})
    assert set(refused.value.violations) == {named}


def test_query_feedback_gives_the_newest_first(project: Project) -> None:
    for n in range(5):
        create_feedback(project, id=str(n), weave_ref=f"weave:///e/p/agent_turn/{n % 2}")
    assert [f.id for f in query_feedback(project)] == ["4", "3", "2", "1", "0"]
    of_one = query_feedback(project, weave_ref="weave:///e/p/agent_turn/0", limit=2, offset=1)
    assert [f.id for f in of_one] == ["2", "0"]
    assert not query_feedback(project, feedback_type="none")


REF = "weave:///e/p/agent_turn/t"
ALWAYS = {"start": "2020-01-01T00:00:00Z", "granularity": 10**6}


def call(project: Project, method: str, **fields: Any) -> Any:
    return project.send(f"FeedbackService/{method}", project_id=project.name, **fields)


def where(name: str, value: Any, operator: str = "$eq") -> dict[str, Any]:
    return {"$expr": {operator: [{"$getField": name}, {"$literal": value}]}}


def test_create_feedback_always_tells_the_user_and_the_payload(project: Project) -> None:
    answer = create_feedback(project, weave_ref=REF, feedback_type="t", payload={})
    assert answer.HasField("wb_user_id")
    assert answer.HasField("payload")


def test_batch_create_feedback_stores_all_or_nothing(project: Project) -> None:
    batch = [
        {"project_id": project.name, "feedback_type": "t", "weave_ref": REF, "id": f"f{n}"}
        for n in range(3)
    ]
    answers = project.send("FeedbackService/BatchCreateFeedback", batch=batch).res
    assert [answer.id for answer in answers] == ["f0", "f1", "f2"]
    bad = [{**batch[0], "id": "new"}, {**batch[0], "weave_ref": ""}]
    with pytest.raises(CallError) as refused:
        project.send("FeedbackService/BatchCreateFeedback", batch=bad)
    assert set(refused.value.violations) == {"batch[1].weave_ref"}
    with pytest.raises(CallError) as refused:
        project.send("FeedbackService/BatchCreateFeedback")
    assert set(refused.value.violations) == {"batch"}
    assert len(query_feedback(project)) == 3


def test_replace_feedback_keeps_the_id_and_the_time(project: Project) -> None:
    first = create_feedback(project, id="f", weave_ref=REF, feedback_type="a")
    fields = {"feedback_type": "b", "weave_ref": REF, "payload": {"x": 1}}
    answer = call(project, "ReplaceFeedback", feedback_id="f", id="ignored", **fields)
    assert (answer.id, answer.created_at) == ("f", first.created_at)
    [found] = query_feedback(project)
    assert (found.feedback_type, as_dict(found.payload)) == ("b", {"x": 1})
    with pytest.raises(CallError) as refused:
        call(project, "ReplaceFeedback", **fields)
    assert set(refused.value.violations) == {"feedback_id"}


def test_query_feedback_by_conditions(project: Project) -> None:
    for n in range(4):
        create_feedback(
            project, id=str(n), weave_ref=REF, feedback_type="t", payload={"n": n, "s": f"Text {n}"}
        )
    two = [where("payload.n", 1, "$gte")["$expr"], where("payload.n", 2, "$lte")["$expr"]]
    contains = {"input": {"$getField": "payload.s"}, "substr": {"$literal": "text 3"}}
    for expression, ids in (
        (where("id", "2")["$expr"], ["2"]),
        ({"$and": two}, ["2", "1"]),
        ({"$not": [{"$and": two}]}, ["3", "0"]),
        ({"$or": [where("id", "0")["$expr"], where("payload_dump.n", 3)["$expr"]]}, ["3", "0"]),
        ({"$in": [{"$getField": "id"}, [{"$literal": "1"}, {"$literal": "9"}]]}, ["1"]),
        ({"$contains": {**contains, "case_insensitive": True}}, ["3"]),
        ({"$contains": contains}, []),
        (where("payload.s", 1, "$gt")["$expr"], []),
    ):
        page = call(project, "QueryFeedback", query={"$expr": expression}, limit=10)
        assert ([f.id for f in page.result], page.total_count) == (ids, len(ids)), expression
    page = call(project, "QueryFeedback", query={"$expr": {"$literal": True}}, limit=1, offset=2)
    assert ([f.id for f in page.result], page.total_count) == (["1"], 4)
    assert call(project, "QueryFeedback", limit=1).total_count == 4
    deep: Any = {"$literal": True}
    for _ in range(12):
        deep = {"$not": [deep]}
    bad: dict[str, Any]
    for bad in ({}, {"$expr": {}}, {"$expr": {"$eq": [1]}}, {"$expr": {"$x": []}}, {"$expr": deep}):
        with pytest.raises(CallError) as refused:
            call(project, "QueryFeedback", query=bad)
        assert set(refused.value.violations) == {"query"}


def test_purge_feedback_deletes_what_meets_the_condition(project: Project) -> None:
    for n in range(3):
        create_feedback(project, id=str(n), weave_ref=REF, feedback_type="t")
    call(project, "PurgeFeedback", query=where("id", "1"))
    assert [f.id for f in query_feedback(project)] == ["2", "0"]
    with pytest.raises(CallError) as refused:
        call(project, "PurgeFeedback")
    assert set(refused.value.violations) == {"query"}


def test_get_feedback_stats_sums_up_payloads(project: Project) -> None:
    for n in range(4):
        create_feedback(
            project,
            weave_ref=REF,
            feedback_type="t" if n else "other",
            payload={"out": {"score": n, "ok": n > 1}},
            trigger_ref=f"weave:///e/p/op/monitor:{n}",
        )
    metrics = [
        {"json_path": "out.score", "aggregations": ["sum", "avg", "max"], "percentiles": [50]},
        {"json_path": "out.ok", "value_type": "boolean"},
    ]
    found = as_dict(call(project, "GetFeedbackStats", feedback_type="t", metrics=metrics, **ALWAYS))
    assert found["window_stats"] == {
        "out_score": {"sum": 6, "avg": 2, "max": 3, "p50": 2},
        "out_ok": {"count_true": 2, "count_false": 1},
    }
    assert sum(bucket["count"] for bucket in found["buckets"]) == 3
    for trigger, number in (("weave:///e/p/op/monitor:*", 4), ("weave:///e/p/op/monitor:2", 1)):
        found = as_dict(call(project, "GetFeedbackStats", trigger_ref=trigger, **ALWAYS))
        assert sum(bucket["count"] for bucket in found["buckets"]) == number
    for fields, named in (
        ({}, "start"),
        ({**ALWAYS, "granularity": 1}, "granularity"),
        ({**ALWAYS, "metrics": [{}]}, "metrics[0].json_path"),
    ):
        with pytest.raises(CallError) as refused:
            call(project, "GetFeedbackStats", **fields)
        assert set(refused.value.violations) == {named}


def test_aggregate_feedback_sums_up_tags_and_ratings(project: Project) -> None:
    for n in range(3):
        create_feedback(
            project,
            weave_ref=REF,
            feedback_type="wandb.agent_monitor",
            runnable_ref=f"scorer-{n % 2}",
            **({"scorer_tags": ["rude"], "scorer_ratings": {"r": n / 2}} if n else {}),
        )
    [whole] = call(project, "AggregateFeedback").buckets
    assert (whole.total_count, whole.scored_count) == (3, 2)
    assert dict(whole.tag_counts) == {"rude": 2}
    assert dict(whole.rating_sums) == {"r": 1.5}
    assert not whole.HasField("time_bucket_start_ms")
    groups = call(
        project, "AggregateFeedback", group_by=["scorer_id"], time_bucket_seconds=10**6
    ).buckets
    assert [(dict(g.group)["scorer_id"], g.total_count) for g in groups] == [
        ("scorer-0", 2),
        ("scorer-1", 1),
    ]
    assert groups[0].HasField("time_bucket_start_ms")
    for fields, number in (
        ({"tags": ["rude"]}, 2),
        ({"scorer_ids": ["scorer-*"], "rating_min": 0.75}, 1),
        ({"span_types": ["agent_turn"]}, 3),
        ({"span_types": ["agent_conversation"]}, 0),
        ({"feedback_types": ["wandb.agent"]}, 3),
    ):
        found = call(project, "AggregateFeedback", **fields).buckets
        assert sum(bucket.total_count for bucket in found) == number, fields
    with pytest.raises(CallError) as refused:
        call(project, "AggregateFeedback", group_by=["x"])
    assert set(refused.value.violations) == {"group_by"}


def test_get_feedback_payload_schema_lists_paths(project: Project) -> None:
    payload = {"a": {"n": 1, "t": "x"}, "ok": True, "none": None}
    create_feedback(project, weave_ref=REF, feedback_type="t", payload=payload)
    found = call(project, "GetFeedbackPayloadSchema", start="2020-01-01T00:00:00Z").paths
    assert [(path.json_path, path.value_type) for path in found] == [
        ("a.n", "numeric"),
        ("a.t", "categorical"),
        ("ok", "boolean"),
    ]
