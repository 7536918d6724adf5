"""An id of a trace in capitals or in the form of a UUID finds the trace, where no other has it."""

from __future__ import annotations

from typing import Any

import pytest

from spanloom.model import dashed
from tests.clients import CallError
from tests.contract.calls import get_trace, model_call, start_session, write_spans
from tests.contract.conftest import Project

TRACE_ID = "cf39f27376d3b2be5f3654cdc014a42a"


def chat(project: Project, trace_id: str) -> Any:
    fields = {"project_id": project.name, "trace_id": trace_id}
    return project.send("AgentChatService/GetTraceChat", **fields)


def test_a_trace_is_found_in_other_spellings(project: Project) -> None:
    write_spans(project, model_call(TRACE_ID, "a", 1, "q", "answer"))
    for asked in (TRACE_ID, TRACE_ID.upper(), dashed(TRACE_ID), dashed(TRACE_ID).upper()):
        assert get_trace(project, asked).id == TRACE_ID
        assert chat(project, asked).trace_id == TRACE_ID
        assert len(chat(project, asked).messages) == 2
        found = project.send("SpanService/GetSpan", traceId=asked, spanId="a").span
        assert found.trace_id == TRACE_ID
        listed = project.send("ChatService/ListChatMessages", traceId=asked)
        assert len(listed.messages) == 2
    project.send("TraceService/DeleteTrace", trace_id=TRACE_ID.upper())
    with pytest.raises(CallError, match="TRACE_NOT_FOUND"):
        get_trace(project, TRACE_ID)


def test_an_id_that_is_stored_as_asked_wins(project: Project) -> None:
    write_spans(project, model_call(TRACE_ID, "small", 1, "q", "a"))
    write_spans(project, model_call(TRACE_ID.upper(), "capital", 1, "q", "a"))
    assert project.send("SpanService/GetSpan", traceId=TRACE_ID.upper(), spanId="capital").span
    start_session(project, session_id=dashed(TRACE_ID))
    found = project.send("SessionService/GetSession", session_id=dashed(TRACE_ID).upper())
    assert found.event_id == TRACE_ID
    found = project.send("SessionService/GetSession", session_id=dashed(TRACE_ID))
    assert found.event_id == dashed(TRACE_ID)
