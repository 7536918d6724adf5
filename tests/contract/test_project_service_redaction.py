"""Redaction over every transport: its rules, and what of the corpus the database has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from google.protobuf import json_format

from spanloom.store.sql import tables
from spanloom.store.sql.compression import decompressed
from tests.clients import CallError
from tests.contract.calls import as_dict, get_event
from tests.contract.conftest import Project, new_project, request_of
from tests.databases import select
from tests.redaction.corpus import CONTENT, PATHS, PRESETS, PROSE, TEXT, fill_value, found_in

EXPORT = "opentelemetry.proto.collector.trace.v1.TraceService/Export"
LOGS = "opentelemetry.proto.collector.logs.v1.LogsService/Export"
TRACE = "0af7651916cd43dd8448eb211c80319c"


def set_rules(project: Project, **rules: Any) -> Any:
    return project.send("ProjectService/UpdateRedaction", rules=rules).rules


def test_update_redaction_replaces_the_rules_and_get_redaction_gives_them(
    project: Project,
) -> None:
    assert as_dict(project.send("ProjectService/GetRedaction")).get("rules", {}) == {}
    pattern = {"name": "nr", "pattern": "N[0-9]{4}"}
    rules = {"presets": ["card", "email"], "patterns": [pattern], "paths": ["$..ssn"]}
    assert as_dict(set_rules(project, **rules)) == rules
    assert as_dict(project.send("ProjectService/GetRedaction").rules) == rules
    write(project, "1")
    assert name_of(project, "1") == "[REDACTED:email] has [REDACTED:nr] and +49 30 7654321"
    neighbour = project.neighbour()
    set_rules(neighbour, presets=["phone"])
    write(neighbour, "1")
    assert name_of(neighbour, "1") == "ada@example.org has N1234 and [REDACTED:phone]"
    set_rules(project)
    write(project, "2")
    assert name_of(project, "2") == "ada@example.org has N1234 and +49 30 7654321"
    assert name_of(project, "1").startswith("[REDACTED:email]")


def write(project: Project, span_id: str) -> None:
    name = "ada@example.org has N1234 and +49 30 7654321"
    span = {"traceId": "t", "spanId": span_id, "name": name}
    project.send("SpanService/WriteSpans", spans=[span])


def name_of(project: Project, span_id: str) -> str:
    name: str = project.send("SpanService/GetSpan", traceId="t", spanId=span_id).span.name
    return name


@pytest.mark.parametrize(
    ("rules", "field"),
    [
        ({"presets": ["email", "mail"]}, "rules.presets[1]"),
        ({"patterns": [{"name": "A", "pattern": "a"}]}, "rules.patterns[0]"),
        ({"patterns": [{"name": "a", "pattern": "(a"}]}, "rules.patterns[0]"),
        ({"patterns": [{"name": "a", "pattern": "(a)\\1"}]}, "rules.patterns[0]"),
        ({"patterns": [{"name": "a", "pattern": "a*"}]}, "rules.patterns[0]"),
        ({"patterns": [{"name": "a", "pattern": "((a{99}){99}){99}"}]}, "rules.patterns[0]"),
        ({"patterns": [{"name": "a", "pattern": "a" * 1001}]}, "rules.patterns[0]"),
        ({"paths": ["ssn"]}, "rules.paths[0]"),
        ({"paths": ["$.a[1]"]}, "rules.paths[0]"),
        ({"paths": ["$.a"] * 51}, "rules.paths"),
        ({"redactors": ["nobody"]}, "rules.redactors[0]"),
    ],
)
def test_update_redaction_names_what_is_wrong(
    project: Project, rules: dict[str, Any], field: str
) -> None:
    with pytest.raises(CallError) as refused:
        set_rules(project, **rules)
    assert list(refused.value.violations) == [field]


def test_credentials_are_redacted_by_default(project: Project) -> None:
    attributes = {
        "api_key": {"stringValue": "zqdefault"},
        "gen_ai.tool.call.arguments": {"stringValue": '{"password": "zqdefault", "n": 1.50}'},
        "max_tokens": {"intValue": "5"},
    }
    span = {"traceId": "t", "spanId": "1", "attributes": attributes}
    project.send("SpanService/WriteSpans", spans=[span])
    found = as_dict(project.send("SpanService/GetSpan", traceId="t", spanId="1").span)
    assert found["attributes"] == {
        "api_key": {"stringValue": "[REDACTED]"},
        "gen_ai.tool.call.arguments": {"stringValue": '{"password": "[REDACTED]", "n": 1.5}'},
        "max_tokens": {"intValue": "5"},
    }
    assert not any(b"zqdefault" in value for value in values_of(project))


def values_of(project: Project) -> Iterator[bytes]:
    """All that the database holds, unpacked."""
    for table in tables.metadata.sorted_tables:
        for row in select(project.server.database, f'SELECT * FROM "{table.name}"'):
            for value in row:
                if isinstance(value, bytes | memoryview):
                    try:
                        yield decompressed(bytes(value))
                    except Exception:  # noqa: BLE001 - no frame
                        yield bytes(value)
                else:
                    yield str(value).encode()


def native_span() -> dict[str, Any]:
    parts = [
        {"text": PROSE},
        {"toolRequest": {"callId": "1", "name": "f", "arguments": CONTENT}},
    ]
    attributes = request_of("SpanService/WriteSpans", {"spans": [{"spanId": "x"}]}).spans[0]  # type: ignore[attr-defined]
    fill_value(attributes.attributes["whole"], CONTENT)
    fill_value(attributes.attributes["text"], TEXT)
    fill_value(attributes.resource["host"], PROSE)
    return {
        **json_format.MessageToDict(attributes),
        "traceId": "native",
        "spanId": "n",
        "name": PROSE,
        "kind": "SPAN_KIND_MODEL",
        "inputMessages": [{"role": "user", "parts": parts}],
        "outputMessages": [{"role": "assistant", "parts": [{"text": TEXT}]}],
        "metadata": CONTENT,
        "user": {"id": "corpusada@example.org", "name": PROSE},
    }


def otlp(one: str, many: str, inside: dict[str, Any]) -> dict[str, Any]:
    attributes = [
        {"key": "whole", "value": any_value(CONTENT)},
        {"key": "authorization", "value": any_value("zqgeheim42")},
        {"key": "gen_ai.input.messages", "value": any_value(TEXT)},
        {"key": "input.value", "value": any_value(PROSE)},
    ]
    item = {
        "traceId": json_bytes(TRACE),
        "spanId": json_bytes("b7ad6b7169203331"),
        "attributes": attributes,
        **inside,
    }
    scope = {"scope": {"name": "s", "attributes": attributes}, many: [item]}
    return {one: [{"resource": {"attributes": attributes}, f"scope{one[8:]}": [scope]}]}


def json_bytes(hexadecimal: str) -> str:
    import base64

    return base64.b64encode(bytes.fromhex(hexadecimal)).decode()


def any_value(value: Any) -> dict[str, Any]:
    from opentelemetry.proto.common.v1.common_pb2 import AnyValue

    message = AnyValue()
    fill_value(message, value)
    return json_format.MessageToDict(message)


def writes(project: Project) -> Iterator[tuple[str, dict[str, Any]]]:
    event = {
        "event_name": PROSE,
        "inputs": CONTENT,
        "outputs": {"o": TEXT},
        "config": CONTENT,
        "metadata": CONTENT,
        "user_properties": CONTENT,
        "error": PROSE,
        "session_id": "s",
    }
    typed = {**event, "event_type": "tool"}
    log = {"id": "l", "type": "generation", "input": PROSE, "output": TEXT, "metadata": CONTENT}
    span = native_span()
    yield "SpanService/WriteSpans", {"spans": [span]}
    yield (
        "SpanService/UpdateSpan",
        {"span": {"traceId": "native", "spanId": "n", "metadata": CONTENT}},
    )
    yield (
        EXPORT,
        otlp(
            "resourceSpans",
            "spans",
            {
                "name": PROSE,
                "status": {"message": PROSE},
                "events": [
                    {"name": "e", "attributes": [{"key": "k", "value": any_value(CONTENT)}]}
                ],
            },
        ),
    )
    yield (
        LOGS,
        otlp(
            "resourceLogs",
            "logRecords",
            {"eventName": "gen_ai.user.message", "body": any_value(CONTENT)},
        ),
    )
    yield (
        "TraceService/CreateTrace",
        {
            "trace": {
                "id": "basalt",
                "name": PROSE,
                "input": TEXT,
                "output": PROSE,
                "featureSlug": "f",
                "metadata": CONTENT,
                "user": {"id": "corpusada@example.org", "name": PROSE},
                "logs": [log],
            }
        },
    )
    yield "TraceService/CreateLog", {"slug": "p", "input": PROSE, "output": TEXT}
    yield "EventService/CreateEvent", {"event": {**typed, "event_id": "e"}}
    yield (
        "EventService/CreateEventBatch",
        {
            "events": [{**typed, "event_id": "b", "children": [{**typed, "event_id": "child"}]}],
            "session_properties": {"metadata": CONTENT, "session_name": PROSE},
        },
    )
    yield "EventService/CreateModelEvent", {"model_event": {**event, "event_id": "m"}}
    yield "EventService/UpdateEvent", {"event_id": "e", "feedback": CONTENT, "outputs": CONTENT}
    yield "SessionService/StartSession", {"session": {"session_id": "s2", "metadata": CONTENT}}
    yield (
        "SessionService/AddSessionTraces",
        {
            "session_id": "s2",
            "events": [{**typed, "event_id": "added"}],
        },
    )
    yield (
        "FeedbackService/CreateFeedback",
        {
            "project_id": project.name,
            "id": "f",
            "feedback_type": "x",
            "payload": CONTENT,
            "weave_ref": f"weave:///e/{project.name}/agent_turn/t",
        },
    )
    yield (
        "ReviewService/WriteReview",
        {
            "review": {
                "reviewId": "r",
                "target": {"conversationId": "c"},
                "name": "n",
                "comment": PROSE,
                "metadata": CONTENT,
            }
        },
    )
    yield "DatasetService/CreateDataset", {"slug": "d", "columns": ["q"], "description": PROSE}
    yield "DatasetService/CreateDatasetItem", {"slug": "d", "values": {"q": TEXT}}
    yield "DatapointService/CreateDatapoint", {"inputs": CONTENT, "metadata": CONTENT}
    yield "PromptService/CreatePrompt", {"slug": "pr", "text": PROSE, "systemText": TEXT}


def test_nothing_of_the_corpus_is_stored_by_any_api(project: Project) -> None:
    set_rules(project, presets=[*PRESETS], paths=[*PATHS])
    for method, fields in writes(project):
        project.send(method, **fields)
    project.send("SpanService/GetSpan", traceId="native", spanId="n")
    event = get_event(project, "e")
    assert event["inputs"]["question"] == CONTENT["question"]
    assert event["inputs"]["prompt_tokens"] == CONTENT["prompt_tokens"]
    found = [(word, value[:300]) for value in values_of(project) for word in found_in(value)]
    assert found == []
    assert any(b"[REDACTED:email]" in value for value in values_of(project))
    exported = project.send("EventService/ExportEvents", project=project.name)
    assert found_in(exported.SerializeToString()) == []
    arguments = json.loads(event["inputs"]["arguments"])
    assert arguments["max_tokens"] == 12
    assert arguments["password"] == "[REDACTED]"


def test_an_instance_key_is_redacted_by_the_project_that_the_request_names(
    project: Project,
) -> None:
    named = new_project(project.client, project.server)
    set_rules(named, presets=["email"])
    event = {"event_id": "e", "event_type": "tool", "event_name": "ada@example.org"}
    request = request_of("EventService/CreateEvent", {"event": {**event, "project": named.name}})
    project("EventService/CreateEvent", request, key=project.server.key())
    assert get_event(named, "e")["event_name"] == "[REDACTED:email]"
