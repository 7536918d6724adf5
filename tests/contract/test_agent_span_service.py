"""AgentSpanService, by its promises in proto/spanloom/v1/agent_span_service.proto."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients import CallError
from tests.contract.calls import as_dict, create_feedback, model_call, write_spans
from tests.contract.conftest import Project
from tests.otlp.requests import MODEL, request

EXPORT = "opentelemetry.proto.collector.trace.v1.TraceService/Export"


def call(project: Project, method: str, **fields: Any) -> Any:
    return project.send(f"AgentSpanService/{method}", project_id=project.name, **fields)


def where(name: str, value: Any, operator: str = "$eq") -> dict[str, Any]:
    return {"$expr": {operator: [{"$getField": name}, {"$literal": value}]}}


def three_calls(project: Project) -> None:
    for n in (1, 2, 3):
        fields = {"session_id": "c", "model": f"m{n}", "input_tokens": n}
        write_spans(project, model_call(f"t{n}", f"s{n}", n, f"q{n}", f"a{n}", **fields))


def test_get_conversation_spans_with_the_feedback_on_them(project: Project) -> None:
    three_calls(project)
    rating = {"scorer_ratings": {"tone": 0.5}, "scorer_rating_reasons": {"tone": "calm"}}
    for ref, kind in (("turn/t2", "wandb.agent_monitor"), ("conversation/c", "wandb.note.1")):
        create_feedback(
            project, weave_ref=f"weave:///e/p/agent_{ref}", feedback_type=kind, **rating
        )
    found = call(project, "GetConversationSpans", conversation_ids=["c", "none"])
    one, none = found.conversations
    assert [(s.span_id, s.operation_name, s.duration_ms) for s in one.spans] == [
        (f"s{n}", "chat", 1000) for n in (1, 2, 3)
    ]
    [feedback] = one.spans_feedback
    assert (feedback.trace_id, feedback.ratings[0].reason) == ("t2", "calm")
    assert (none.conversation_id, len(none.spans)) == ("none", 0)
    later = call(
        project,
        "GetConversationSpans",
        conversation_ids=["c"],
        started_after="1970-01-01T00:00:02Z",
        started_before="1970-01-01T00:00:03Z",
    )
    assert [span.span_id for span in later.conversations[0].spans] == ["s2"]
    with pytest.raises(CallError) as refused:
        call(project, "GetConversationSpans", conversation_ids=["c"] * 101)
    assert set(refused.value.violations) == {"conversation_ids"}


def test_query_agent_spans_by_conditions_and_pages(project: Project) -> None:
    three_calls(project)
    page = call(project, "QueryAgentSpans", limit=2, offset=1)
    assert ([span.span_id for span in page.spans], page.total_count) == (["s2", "s1"], 3)
    shown = as_dict(page.spans[0])
    assert (shown["request_model"], shown["input_tokens"]) == ("m2", 2)
    assert shown["input_messages"] == [{"role": "user", "content": "q2"}]
    assert shown["output_messages"] == [{"role": "assistant", "content": "a2"}]
    for query, ids in (
        (where("request_model", "m3"), ["s3"]),
        (where("input_tokens", 1, "$gt"), ["s3", "s2"]),
        (where("agent_name", "x"), []),
    ):
        found = call(project, "QueryAgentSpans", query=query)
        assert ([span.span_id for span in found.spans], found.total_count) == (ids, len(ids))
    for fields, named in (
        ({"group_by": [{"key": "agent_name"}]}, "group_by"),
        ({"query": {"$expr": {}}}, "query"),
        ({"offset": -1}, "offset"),
    ):
        with pytest.raises(CallError) as refused:
            call(project, "QueryAgentSpans", **fields)
        assert set(refused.value.violations) == {named}


def test_get_custom_attributes_schema_lists_what_no_convention_names(project: Project) -> None:
    model: dict[str, Any] = MODEL
    attributes = {**model["attributes"], "rate": "high", "team": "a", "tries": 2, "zone": "b"}
    project(EXPORT, request({**model, "attributes": attributes}))
    found = call(project, "GetCustomAttributesSchema", limit=3)
    assert [(each.key, each.value_type, each.span_count) for each in found.attributes] == [
        ("rate", "string", 1),
        ("team", "string", 1),
        ("tries", "int", 1),
    ]
    assert found.has_more
    [span] = call(project, "QueryAgentSpans").spans
    assert dict(span.custom_attrs_string) == {"rate": "high", "team": "a", "zone": "b"}
    assert dict(span.custom_attrs_int) == {"tries": 2}
