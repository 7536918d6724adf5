"""OTLP's LogsService: log records are accepted and dropped."""

from __future__ import annotations

from spanloom.model import TraceQuery
from tests.contract.conftest import Project

EXPORT = "opentelemetry.proto.collector.logs.v1.LogsService/Export"


def test_export_takes_log_records_and_stores_none(project: Project) -> None:
    record = {
        "timeUnixNano": "1795000000000000000",
        "eventName": "gen_ai.user.message",
        "body": {"stringValue": "hello"},
    }
    sent = {"resourceLogs": [{"scopeLogs": [{"logRecords": [record]}]}]}
    assert not project.send(EXPORT, **sent).HasField("partial_success")
    store = project.server.running.store
    assert not project.server.run(store.list_traces(project.name, TraceQuery(), limit=1))
