"""OTLP's TraceService, and the views of the spans that it takes."""

from __future__ import annotations

import json

from google.protobuf import json_format
from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

from spanloom.codec import otlp_json
from tests.contract.calls import (
    as_dict,
    export_events,
    get_conversation_chat,
    get_session,
    list_agents,
    search_messages,
)
from tests.contract.conftest import Project
from tests.otlp.requests import AGENT, MODEL, START, TOOL, TRACE_ID, chat, request, steps, trace

EXPORT = "opentelemetry.proto.collector.trace.v1.TraceService/Export"


def test_export_reports_a_bad_span_and_keeps_the_good_ones(project: Project) -> None:
    message = request(AGENT, MODEL, TOOL)
    message.resource_spans[0].scope_spans[0].spans[1].trace_id = b"short"
    reported = project(EXPORT, message).partial_success
    assert reported.rejected_spans == 1
    assert "spans[1]" in reported.error_message
    assert [log.id for log in trace(project).logs] == ["0000000000000003"]


def test_export_completes_an_open_span_by_its_id(project: Project) -> None:
    project(EXPORT, request({**AGENT, "seconds": 0}))
    assert not trace(project).HasField("end_time")
    before = chat(project)
    assert before.total_duration_ms == 0
    project(EXPORT, request(MODEL))
    assert steps(chat(project))[-1] == ("assistant_message", "Zwölf.")
    project(EXPORT, request(AGENT))
    assert trace(project).HasField("end_time")
    assert chat(project).total_duration_ms == 4000


def test_export_keeps_an_ended_span_when_its_open_state_comes_late(project: Project) -> None:
    opened = {**MODEL, "seconds": 0}
    project(EXPORT, request(AGENT, opened))
    project(EXPORT, request(MODEL))
    before = as_dict(trace(project))
    for late in ([opened], [opened, TOOL], [MODEL, opened]):
        assert not project(EXPORT, request(*late)).HasField("partial_success")
        logs = as_dict(trace(project))["logs"]
        without_tool = [log for log in logs if log["type"] == "generation"]
        assert without_tool == before["logs"]


def test_export_loses_nothing_that_a_span_has(project: Project) -> None:
    message = request(MODEL, host__name="h")
    group = message.resource_spans[0]
    group.schema_url = "https://resource"
    group.resource.dropped_attributes_count = 1
    group.scope_spans[0].schema_url = "https://scope"
    span = group.scope_spans[0].spans[0]
    span.trace_state, span.flags, span.kind = "a=b", 0x101, span.SPAN_KIND_CLIENT
    span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count = 2, 3, 4
    event = span.events.add(name="e", time_unix_nano=START + 5, dropped_attributes_count=6)
    event.attributes.add(key="k").value.int_value = 2**62
    event.attributes.add(key="raw").value.bytes_value = b"\0\xff"
    link = span.links.add(trace_id=b"t" * 16, span_id=b"s" * 8, trace_state="c=d", flags=1)
    link.attributes.add(key="list").value.array_value.values.add().double_value = 0.1
    project(EXPORT, message)

    otel = as_dict(trace(project).logs[0].otel)
    assert otel["resource"]["attributes"] == {"service.name": "bot", "host.name": "h"}
    assert otel["resource"]["schema_url"] == "https://resource"
    assert otel["scope"] == {"name": "tests", "version": "1", "schema_url": "https://scope"}
    assert otel["dropped"] == {"attributes": 2.0, "events": 3.0, "links": 4.0}
    assert (otel["trace_state"], otel["flags"]) == ("a=b", 257.0)
    assert otel["events"][0]["time_unix_nano"] == str(START + 5)
    assert otel["links"][0]["span_id"] == (b"s" * 8).hex()
    assert otel["attributes"]["gen_ai.request.model"] == "gpt-4o"

    document = project.send("TraceExportService/ExportTrace", trace_id=TRACE_ID).document
    assert document.content_type == "application/json"
    back = otlp_json.parse(document.data)
    assert back == message
    assert TracesData.FromString(back.SerializeToString()).resource_spans == message.resource_spans


def test_export_stores_a_trace_that_every_view_reads(project: Project) -> None:
    project(EXPORT, request(AGENT, MODEL, TOOL))
    found = trace(project)
    assert [(log.type, log.name) for log in found.logs] == [
        ("tool", "execute_tool clock"),
        ("generation", "chat gpt-4o"),
    ]
    assert found.session_id == "conversation"
    assert found.logs[1].cost > 0
    assert steps(chat(project)) == [
        ("agent_start", ""),
        ("tool_call", 'clock {"zone": "UTC"} 12:00'),
        ("user_message", "Wie spät ist es?"),
        ("assistant_message", "Zwölf."),
    ]
    events = export_events(project)
    assert {(e.event_type, e.session_id) for e in events.events} >= {
        ("model", "conversation"),
        ("tool", "conversation"),
    }
    assert get_session(project, "conversation").event_id == "conversation"
    page = get_conversation_chat(project, conversation_id="conversation")
    assert [turn.trace_id for turn in page.turns] == [TRACE_ID]
    (result,) = search_messages(project, "spät").results
    assert [(m.role, m.trace_id) for m in result.matched_messages] == [("user", TRACE_ID)]
    (ada,) = list_agents(project).agents
    assert (ada.agent_name, ada.invocation_count) == ("Ada", 1)


def test_export_takes_references_that_are_shown_as_clients_know_them(project: Project) -> None:
    inner = "weave-trace-internal:///UHJvamVjdDo0Mg==/object/cat.png:d1"
    outer = f"weave:///me/{project.name}/object/cat.png:d1"
    asked = {"role": "user", "parts": [{"type": "uri", "uri": inner, "modality": "image"}]}
    project(
        EXPORT,
        request(
            {
                **MODEL,
                "attributes": {
                    **MODEL["attributes"],  # type: ignore[dict-item]
                    "weave__content_refs": [inner],
                    "gen_ai__input__messages": [asked],
                    "gen_ai__output__messages": [
                        {
                            "role": "assistant",
                            "parts": [{"type": "text", "content": f"See {inner}."}],
                        }
                    ],
                },
            },
            {
                **TOOL,
                "attributes": {
                    **TOOL["attributes"],  # type: ignore[dict-item]
                    "weave__content_refs": [inner],
                    "gen_ai__tool__call__arguments": {"deep": json.dumps({"image": inner})},
                    "gen_ai__tool__call__result": inner,
                },
            },
        ),
    )
    project_id = f"me/{project.name}"
    turn = project.send("AgentChatService/GetTraceChat", project_id=project_id, trace_id=TRACE_ID)
    tool, user, answer = turn.messages
    assert list(tool.tool_call.content_refs) == [outer]
    assert tool.tool_call.tool_result == outer
    assert outer in tool.tool_call.tool_arguments
    assert list(user.user_message.content_refs) == [outer]
    assert answer.assistant_message.text == f"See {outer}."
    page = get_conversation_chat(project, project_id=project_id, conversation_id="conversation")
    search = search_messages(project, project_id=project_id)
    assert list(page.turns) == [turn]
    for found in (turn, page, search):
        assert "weave-trace-internal" not in json_format.MessageToJson(found)
