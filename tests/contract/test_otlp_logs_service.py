"""OTLP's LogsService: log events that tell of GenAI, and what of them is seen."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from spanloom.adapters.otlp.logs import MISSING
from spanloom.model import TraceQuery
from tests.contract.calls import as_dict, export_events, get_event
from tests.contract.conftest import Project
from tests.contract.test_otlp_metrics_service import dropped
from tests.otlp.requests import START, TRACE_ID, chat, request, steps, trace

LOGS = "opentelemetry.proto.collector.logs.v1.LogsService/Export"
SPANS = "opentelemetry.proto.collector.trace.v1.TraceService/Export"
SPAN_ID = "0000000000000002"
CALL = {
    "id": 2,
    "name": "chat gpt-4o",
    "attributes": {
        "gen_ai__operation__name": "chat",
        "gen_ai__provider__name": "openai",
        "gen_ai__request__model": "gpt-4o",
    },
}


def value(plain: Any) -> dict[str, Any]:
    if isinstance(plain, dict):
        return {"kvlistValue": {"values": pairs(plain)}}
    return {"stringValue": plain}


def pairs(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": value(plain)} for key, plain in attributes.items()]


def record(
    name: str, body: Any = None, *, after: Any = 0, of_span: Any = True, **attributes: Any
) -> dict[str, Any]:
    # Ids in base64, as protobuf's own JSON has them.
    ids = {"traceId": "CvdlGRbNQ92ESOshHIAxnA==", "spanId": "AAAAAAAAAAI="}
    named = {key.replace("__", "."): each for key, each in attributes.items()}
    return {
        "timeUnixNano": str(START + after),
        "eventName": name,
        "attributes": pairs(named),
        **({"body": value(body)} if body is not None else {}),
        **(ids if of_span else {}),
    }


def send(project: Project, *records: dict[str, Any], scope: str = "") -> None:
    scoped = {"scope": {"name": scope}, "logRecords": list(records)}
    answer = project.send(LOGS, resourceLogs=[{"scopeLogs": [scoped]}])
    assert not answer.HasField("partial_success")


ASKED = record("gen_ai.user.message", {"content": "How many?"}, gen_ai__system="openai")
ANSWERED = record(
    "gen_ai.choice", {"finish_reason": "stop", "message": {"content": "Three."}}, after=5
)
SAID = [("user_message", "How many?"), ("assistant_message", "Three.")]


@pytest.mark.parametrize(
    "order", list(itertools.permutations(["span", "asked", "answered"])), ids="-".join
)
def test_export_joins_log_events_and_their_span_in_any_order(
    project: Project, order: tuple[str, ...]
) -> None:
    assert TRACE_ID == "0af7651916cd43dd8448eb211c80319c"
    for each in order:
        if each == "span":
            project(SPANS, request(CALL))
        else:
            send(project, ASKED if each == "asked" else ANSWERED)
    assert steps(chat(project)) == SAID


def test_export_keeps_log_events_through_everything_that_writes_their_span(
    project: Project,
) -> None:
    send(project, ANSWERED, ASKED, ANSWERED)
    send(project, ASKED)  # again, as a retry sends it
    project(SPANS, request({**CALL, "seconds": 0}))
    assert steps(chat(project)) == SAID
    project(SPANS, request(CALL))
    fields = {"metadata": {"k": "v"}}
    project.send("EventService/UpdateEvent", event_id=SPAN_ID, **fields)
    project(SPANS, request(CALL))
    assert steps(chat(project)) == SAID
    event = get_event(project, SPAN_ID)
    assert event["inputs"]["chat_history"] == [{"role": "user", "content": "How many?"}]
    assert event["outputs"]["content"] == "Three."
    assert event["metadata"]["k"] == "v"
    found = export_events(project, ("outputs.content", "Three."))
    assert [each.event_id for each in found.events] == [SPAN_ID]
    native = project.send("SpanService/GetSpan", traceId=TRACE_ID, spanId=SPAN_ID).span
    assert len(native.events) == 2
    assert as_dict(trace(project))["otel"]["events"][0]["name"] == "gen_ai.user.message"
    project.send("TraceService/DeleteTrace", trace_id=TRACE_ID)
    project(SPANS, request(CALL))
    assert steps(chat(project)) == []


def test_export_reads_the_event_of_the_current_convention(project: Project) -> None:
    project(SPANS, request(CALL))
    messages = {
        "gen_ai.input.messages": [
            {"role": "user", "parts": [{"type": "text", "content": "How many?"}]}
        ],
        "gen_ai.output.messages": [
            {"role": "assistant", "parts": [{"type": "text", "content": "Three."}]}
        ],
        "gen_ai.system_instructions": [{"type": "text", "content": "Count."}],
    }
    attributes = {key: json.dumps(each) for key, each in messages.items()}
    send(project, record("gen_ai.client.inference.operation.details", None, **attributes))
    assert [step for step in steps(chat(project)) if step[0] != "agent_start"] == SAID


def test_export_drops_what_is_not_of_genai_and_what_names_no_span(project: Project) -> None:
    before = dropped("log_record")
    send(project, record("http.request", {"a": "b"}), record("", "a plain line"))
    assert dropped("log_record") == before + 2
    send(project, record("gen_ai.user.message", {"content": "hello"}, of_span=False))
    short = {**ASKED, "traceId": "AAE=", "spanId": "AAE="}
    send(project, short)
    store = project.server.running.store
    assert not project.server.run(store.list_traces(project.name, TraceQuery(), limit=1))


def own(name: str, after: int, **attributes: str) -> dict[str, Any]:
    return record(name, name, after=after, of_span=False, **attributes)


def test_export_makes_spans_of_the_events_of_claude_code(project: Project) -> None:
    both = {"session__id": "s", "prompt__id": "p"}
    records = [
        own("claude_code.user_prompt", 0, **both, prompt="list the files"),
        own(
            "claude_code.api_request",
            3 * 10**9,
            **both,
            model="claude-sonnet-4-5",
            input_tokens="10",
            output_tokens="20",
            cost_usd="0.5",
            duration_ms="1000",
        ),
        own(
            "claude_code.tool_result",
            4 * 10**9,
            **both,
            tool_name="Bash",
            tool_parameters='{"command": "ls"}',
            success="false",
            error="no such file",
            duration_ms="500",
        ),
    ]
    for _ in range(2):
        send(project, *records, scope="com.anthropic.claude_code.events")
    events = [as_dict(event) for event in export_events(project, ("session_id", "s")).events]
    assert [(event["event_type"], event["event_name"]) for event in events] == [
        ("tool", "claude_code.tool_result"),
        ("model", "claude_code.api_request"),
        ("chain", "claude_code.user_prompt"),
    ]
    tool, call, turn = events
    assert tool["error"] == "no such file"
    assert tool["inputs"] == {"command": "ls"}
    assert call["config"] == {"model": "claude-sonnet-4-5", "provider": "anthropic"}
    assert call["metadata"]["cost"] == 0.5
    assert (call["metadata"]["prompt_tokens"], call["duration"]) == (10, 1000)
    assert turn["inputs"]["chat_history"] == [{"role": "user", "content": "list the files"}]


def test_export_makes_spans_of_the_events_of_codex(project: Project) -> None:
    of = {"conversation__id": "c", "model": "gpt-5-codex"}
    send(
        project,
        own("codex.user_prompt", 0, **of, prompt="fix it"),
        own("codex.sse_event", 1, **of, event__kind="response.output_item.done"),
        own(
            "codex.sse_event",
            2,
            **of,
            event__kind="response.completed",
            input_token_count="7",
            output_token_count="8",
            cached_token_count="2",
        ),
        own(
            "codex.tool_result",
            3,
            **of,
            tool_name="shell",
            call_id="k",
            arguments='{"cmd": "ls"}',
            output="a.txt",
            success="true",
        ),
    )
    events = [as_dict(event) for event in export_events(project, ("session_id", "c")).events]
    assert [event["event_type"] for event in events] == ["tool", "model", "chain", "chain"]
    assert events[0]["outputs"] == {"result": "a.txt"}
    assert events[1]["metadata"]["prompt_tokens"] == 7


DETAILS = {
    "gen_ai.operation.name": "chat",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.provider.name": "openai",
    "gen_ai.usage.input_tokens": "7",
    "gen_ai.input.messages": json.dumps(
        [{"role": "user", "parts": [{"type": "text", "content": "How many?"}]}]
    ),
    "gen_ai.output.messages": json.dumps(
        [{"role": "assistant", "parts": [{"type": "text", "content": "Three."}]}]
    ),
}


@pytest.mark.parametrize(
    "records",
    [[ASKED, ANSWERED], [record("gen_ai.client.inference.operation.details", None, **DETAILS)]],
    ids=["messages", "details"],
)
def test_export_shows_log_events_whose_span_does_not_come(
    project: Project, records: list[dict[str, Any]]
) -> None:
    for each in records:
        send(project, each)
    assert [step for step in steps(chat(project)) if step[0] != "agent_start"] == SAID
    event = get_event(project, SPAN_ID)
    assert event["event_name"] == records[0]["eventName"]
    assert not event.get("end_time")
    [span] = project.send("SpanService/ListSpans").spans
    assert (span.span_id, len(span.events)) == (SPAN_ID, len(records))
    assert span.attributes[MISSING].bool_value
    # The root of the trace, whenever it comes, is not replaced by it.
    project(SPANS, request({"id": 9, "name": "root"}))
    send(project, {**records[0], "spanId": "AAAAAAAAAAM="})
    names = [one.name for one in project.send("TraceService/ListTraces").traces]
    assert names == ["root"]
    for fields in ({"seconds": 0}, {}):
        project(SPANS, request({**CALL, "parent": 9, **fields}))
        assert [step for step in steps(chat(project)) if step in SAID][:2] == SAID
        event = get_event(project, SPAN_ID)
        assert event["event_name"] == "chat gpt-4o"
        found = project.send("SpanService/GetSpan", traceId=TRACE_ID, spanId=SPAN_ID).span
        assert MISSING not in found.attributes
    send(project, *records)
    assert get_event(project, SPAN_ID)["event_name"] == "chat gpt-4o"
