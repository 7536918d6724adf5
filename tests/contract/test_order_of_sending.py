"""Spans that start at the same time are in the order in which they were sent."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.contract.calls import (
    create_events,
    create_trace,
    export_events,
    get_session,
    get_trace,
    model_call,
    update_event,
    write_spans,
)
from tests.contract.conftest import Project

IDS = ["z", "a", "m", "b", "y"]


def said(chat: Any) -> list[str]:
    return [m.assistant_message.text for m in chat.messages if m.HasField("assistant_message")]


def chat(project: Project, trace_id: str) -> list[str]:
    fields = {"project_id": project.name, "trace_id": trace_id}
    return said(project.send("AgentChatService/GetTraceChat", **fields))


def test_events_without_times_and_ids(project: Project) -> None:
    answers = [f"step {n}" for n in range(6)]
    events = [
        {
            "event_type": "model",
            "inputs": {"question": f"q {answer}"},
            "outputs": {"role": "assistant", "content": answer},
        }
        for answer in answers
    ]
    sent = create_events(
        project, *events, is_single_session=True, session_properties={"session_id": "s"}
    )
    assert chat(project, "s") == answers
    ids = list(sent.event_ids)
    update_event(project, ids[0], metadata={"k": 1})  # an update does not move it
    assert chat(project, "s") == answers
    assert [node.event_id for node in get_session(project, "s").children] == ids
    page = [event.event_id for event in export_events(project).events if event.event_id != "s"]
    assert page == ids[::-1]


def test_logs_without_times(project: Project) -> None:
    logs = [{"id": each, "type": "generation", "input": f"q{each}", "output": each} for each in IDS]
    create_trace(project, id="t", featureSlug="f", logs=logs)
    assert [log.id for log in get_trace(project, "t").logs] == IDS
    assert chat(project, "t") == IDS


def test_spans_of_one_time_in_lists_and_pages(project: Project) -> None:
    spans = [model_call("t", each, 1, f"q{each}", each) for each in IDS]
    for span in spans[:2]:
        write_spans(project, span)
    write_spans(project, *spans[2:])
    # What is sent again keeps its place.
    write_spans(project, replace(spans[0], name="again"))
    assert chat(project, "t") == IDS
    oldest, newest = (pages(project, **of) for of in ({"traceId": "t"}, {}))
    assert oldest == IDS
    assert newest == IDS[::-1]
    events = [export_events(project, limit=2, page=n).events for n in (1, 2, 3)]
    assert [event.event_id for page in events for event in page] == IDS[::-1]
    streamed = project.send("EventService/StreamEvents")
    assert [response.event.event_id for response in streamed] == IDS[::-1]


def pages(project: Project, **fields: Any) -> list[str]:
    found: list[str] = []
    token = ""
    while True:
        page = project.send("SpanService/ListSpans", pageSize=2, pageToken=token, **fields)
        found += [span.span_id for span in page.spans]
        token = page.next_page_token
        if not token:
            return found
