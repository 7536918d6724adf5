"""TraceExportService, by its promises in proto/spanloom/v1/trace_export_service.proto."""

from __future__ import annotations

import json

import pytest

from tests.clients import CallError
from tests.contract.calls import create_trace
from tests.contract.conftest import Project
from tests.otlp.requests import TRACE_ID


def test_export_trace_gives_otlp_json(project: Project) -> None:
    logs = [{"id": "g", "type": "generation", "name": "say", "output": "a", "inputTokens": 3}]
    create_trace(project, id="x", name="bot", logs=logs)
    document = project.send("TraceExportService/ExportTrace", trace_id="x").document
    assert document.content_type == "application/json"
    (group,) = json.loads(document.data)["resourceSpans"]
    spans = {span["name"]: span for scope in group["scopeSpans"] for span in scope["spans"]}
    assert set(spans) == {"bot", "say"}
    assert {len(span["traceId"]) for span in spans.values()} == {32}


def test_export_trace_does_not_find_an_unknown_trace(project: Project) -> None:
    for unknown in (TRACE_ID, "nobody"):
        with pytest.raises(CallError, match="TRACE_NOT_FOUND"):
            project.send("TraceExportService/ExportTrace", trace_id=unknown)
