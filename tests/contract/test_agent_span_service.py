"""AgentSpanService, by its promises in proto/spanloom/v1/agent_span_service.proto."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from tests.clients import CallError
from tests.contract.calls import as_dict, create_feedback, model_call, write_spans
from tests.contract.conftest import Project
from tests.otlp.requests import MODEL, request

ATTRIBUTES: Any = MODEL["attributes"]
# The start of a minute.
MINUTE = 1_790_000_040 * 10**9
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
        ({"group_by": [{"key": "no_field"}]}, "group_by[0].key"),
        ({"group_by": [{"key": "x", "source": "y"}]}, "group_by[0].source"),
        ({"insight_filters": [{}], "sort_by": [{"field": "model"}]}, "insight_filters"),
        ({"sort_by": [{"field": "input_messages"}]}, "sort_by[0].key"),
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


def calls_of_agents(project: Project) -> None:
    """Four spans of two agents: one failed, three have custom attributes."""
    spans = [
        ("Ada", 1, 0, {"score": 2, "kind": "a", "good": True}),
        ("Ada", 2, 1, {"score": 4, "kind": "b", "good": False}),
        ("Ada", 3, 60, {"score": 9, "kind": "a", "good": True}),
        ("Bob", 4, 61, {}),
    ]
    for agent, n, seconds, custom in spans:
        attributes = {
            **{key: value for key, value in ATTRIBUTES.items() if "conversation" not in key},
            "gen_ai__agent__name": agent,
            "gen_ai__conversation__id": f"c{n % 2}",
            "gen_ai__usage__input_tokens": 10 * n,
        }
        sent = request(
            {
                **MODEL,
                "id": n,
                "parent": 0,
                "trace_id": f"{n:032x}",
                "start": MINUTE + seconds * 10**9,
                "seconds": n,
                "attributes": attributes,
                **({"status": Status(code=Status.STATUS_CODE_ERROR)} if n == 2 else {}),
            }
        )
        [span] = sent.resource_spans[0].scope_spans[0].spans
        for key, value in custom.items():
            told = span.attributes.add(key=key).value
            kind = {bool: "bool", int: "int", str: "string"}[type(value)]
            setattr(told, f"{kind}_value", value)
        project(EXPORT, sent)


def plain(structs: Any) -> list[dict[str, Any]]:
    return [as_dict(struct) for struct in structs]


def test_query_agent_spans_in_groups(project: Project) -> None:
    calls_of_agents(project)
    query = {
        "group_by": [{"key": "agent.name", "alias": "agent"}],
        "measures": [
            {"alias": "most", "aggregation": "max", "value": {"key": "input_tokens"}},
            {"alias": "failed", "aggregation": "count", "filter": where("status_code", "ERROR")},
            {"alias": "asked", "aggregation": "count", "filter": where("agent_name", "Ada")},
            {
                "alias": "good",
                "aggregation": "count_true",
                "value": {"key": "good", "source": "custom_attrs_bool"},
            },
        ],
        "group_distributions": [
            {"alias": "n", "value": {"key": "score", "source": "custom_attrs_int"}, "bins": 2},
            {"alias": "k", "value": {"key": "kind", "source": "custom_attrs_string"}, "top_n": 1},
        ],
        "include_details": True,
    }
    found = call(project, "QueryAgentSpans", **query)
    assert (found.total_count, len(found.spans)) == (2, 0)
    ada, bob = plain(found.groups)
    assert (ada["group_keys"], bob["group_keys"]) == ({"agent": "Ada"}, {"agent": "Bob"})
    assert (ada["span_count"], ada["error_count"], ada["conversation_count"]) == (3, 1, 2)
    assert (ada["total_input_tokens"], ada["total_duration_ms"]) == (60, 6000)
    assert (ada["agent_names"], ada["request_models"]) == (["Ada"], ["gpt-4o"])
    assert ada["metrics"] == {"most": 30, "failed": 1, "asked": 3, "good": 2}
    assert ada["first_message"] == {"role": "user_message", "text": "Wie spät ist es?"}
    assert ada["last_message"] == {"role": "assistant_message", "text": "Zwölf."}
    assert ada["first_seen"] < ada["last_seen"]
    numbers, kinds = ada["distributions"]["n"], ada["distributions"]["k"]
    assert [(one["min"], one["max"], one["count"]) for one in numbers["bins"]] == [
        (2, 5.5, 2),
        (5.5, 9, 1),
    ]
    assert (kinds["values"], kinds["other_count"]) == ([{"value": "a", "count": 2}], 1)
    assert bob["distributions"]["n"]["missing_count"] == 1

    sort = [{"field": "most", "direction": "desc"}]
    found = call(project, "QueryAgentSpans", **query, sort_by=sort, limit=1)
    assert [row["group_keys"]["agent"] for row in plain(found.groups)] == ["Bob"]
    many = {"measure": {"alias": "n", "aggregation": "count"}, "min": 2}
    found = call(project, "QueryAgentSpans", **query, group_filters=[many])
    assert [row["group_keys"]["agent"] for row in plain(found.groups)] == ["Ada"]


def test_query_agent_spans_in_an_order_and_by_signals(project: Project) -> None:
    calls_of_agents(project)
    by_tokens = [{"field": "input_tokens", "direction": "desc"}]
    found = call(project, "QueryAgentSpans", sort_by=by_tokens, limit=2, offset=1)
    assert ([span.input_tokens for span in found.spans], found.total_count) == ([30, 20], 4)
    score = {"scorer_tags": ["rude"], "scorer_ratings": {"tone": 0.25}}
    create_feedback(project, weave_ref=f"weave:///e/p/agent_turn/{3:032x}", **score)
    rating = {"scorer_key": "tone", "op": "lt", "value": 0.5}
    for signals, number in (
        ({"tags": ["rude", "x"], "ratings": [rating]}, 1),
        ({"ratings": [{**rating, "op": "gte"}]}, 0),
    ):
        found = call(project, "QueryAgentSpans", signal_filters=signals)
        assert (len(found.spans), found.total_count) == (number, number)
    with pytest.raises(CallError) as refused:
        call(project, "QueryAgentSpans", signal_filters={"ratings": [{**rating, "op": "x"}]})
    assert set(refused.value.violations) == {"signal_filters.ratings[0]"}


def test_get_agent_span_stats_by_time(project: Project) -> None:
    calls_of_agents(project)
    asked = {
        "start": "2026-09-21T14:00:00Z",
        "end": "2026-09-21T15:00:00Z",
        "granularity": 60,
        "group_by": [{"key": "agent_name"}],
        "metrics": [
            {
                "alias": "tokens",
                "value": {"key": "usage.input_tokens"},
                "value_type": "number",
                "aggregations": ["sum"],
                "percentiles": [50],
            },
            {"alias": "seen", "value": {"key": "started_at"}, "value_type": "datetime"},
        ],
    }
    stats = call(project, "GetAgentSpanStats", **asked)
    assert (stats.bucket_type, stats.granularity, stats.timezone) == ("time", 60, "UTC")
    assert [(column.name, column.role, column.value_type) for column in stats.columns] == [
        ("timestamp", "time", "datetime"),
        ("agent_name", "group", "string"),
        ("sum_tokens", "metric", "number"),
        ("p50_tokens", "metric", "number"),
        ("min_seen", "metric", "datetime"),
        ("max_seen", "metric", "datetime"),
    ]
    rows = plain(stats.rows)
    assert [(row["agent_name"], row["sum_tokens"], row["p50_tokens"]) for row in rows] == [
        ("Ada", 30, 15),
        ("Ada", 30, 30),
        ("Bob", 40, 40),
    ]
    assert len({row["timestamp"] for row in rows}) == 2
    limited = call(project, "GetAgentSpanStats", **asked, group_limit=1)
    assert {row["agent_name"] for row in plain(limited.rows)} == {"Ada"}
    for fields, named in (
        ({"start": None}, "start"),
        ({"metrics": [{"alias": "x", "value": {"key": "model"}}]}, "metrics[0].value_type"),
        ({"metrics": [{"value_type": "number"}]}, "metrics[0].alias"),
        ({"bucket_by": {"type": "x"}}, "bucket_by.type"),
        ({"granularity": -1}, "granularity"),
        ({"start": "1970-01-01T00:00:00Z", "granularity": 1}, "granularity"),
    ):
        given = {key: value for key, value in {**asked, **fields}.items() if value is not None}
        with pytest.raises(CallError) as refused:
            call(project, "GetAgentSpanStats", **given)
        assert set(refused.value.violations) == {named}


def test_get_agent_span_stats_by_number(project: Project) -> None:
    calls_of_agents(project)
    start = {"start": "2026-09-21T14:00:00Z", "end": "2026-09-21T15:00:00Z"}
    bins = {"type": "number", "bins": 2, "alias": "took", "value": {"key": "duration_ms"}}
    failed = {
        "alias": "good",
        "value": {"key": "good", "source": "custom_attrs_bool"},
        "value_type": "boolean",
    }
    stats = call(project, "GetAgentSpanStats", **start, bucket_by=bins, metrics=[failed])
    assert [(column.name, column.role) for column in stats.columns][:3] == [
        ("took_min", "bucket"),
        ("took_max", "bucket"),
        ("count", "metric"),
    ]
    assert plain(stats.rows) == [
        {
            "took_min": 1000,
            "took_max": 2500,
            "count": 2,
            "count_true_good": 1,
            "count_false_good": 1,
        },
        {
            "took_min": 2500,
            "took_max": 4000,
            "count": 2,
            "count_true_good": 1,
            "count_false_good": 0,
        },
    ]
    measure = {"alias": "n", "aggregation": "sum", "value": {"key": "total_tokens"}}
    by = {"type": "number", "bins": 1, "measure": measure, "group_by": [{"key": "agent_name"}]}
    [row] = plain(call(project, "GetAgentSpanStats", **start, bucket_by=by).rows)
    assert (row["bucket_min"], row["bucket_max"], row["count"]) == (140, 360, 2)
