"""ProjectService over every transport."""

from __future__ import annotations

from typing import Any

import pytest

from tests.clients import CallError, until
from tests.contract.calls import create_events, create_trace, list_traces
from tests.contract.conftest import Project, request_of

LOG = {"id": "l", "type": "span"}
DELETE = "ProjectService/DeleteProject"


def counts(answer: Any) -> dict[str, int]:
    return {field.name: value for field, value in answer.deleted_counts.ListFields()}


def test_delete_user_data_finds_the_users_of_every_api(project: Project) -> None:
    create_trace(project, id="basalt", featureSlug="f", user={"id": "ada"}, logs=[LOG])
    create_events(
        project,
        {"event_id": "e", "session_id": "s", "user_properties": {"user_id": "ada"}},
        {"event_id": "other", "session_id": "o", "user_properties": {"user_id": "bob"}},
    )
    native = {"traceId": "native", "spanId": "n", "user": {"id": "ada"}}
    project.send("SpanService/WriteSpans", spans=[native])
    otlp = {
        "resourceSpans": [
            {
                "resource": {
                    "attributes": [{"key": "enduser.id", "value": {"stringValue": "ada"}}]
                },
                "scopeSpans": [
                    {
                        "spans": [
                            {
                                "traceId": "AAAAAAAAAAAAAAAAAAAAAQ==",
                                "spanId": "AAAAAAAAAAE=",
                                "name": "call",
                            }
                        ]
                    }
                ],
            }
        ]
    }
    project.send("opentelemetry.proto.collector.trace.v1.TraceService/Export", **otlp)
    assert len(list_traces(project)) == 5
    deleted = project.send("ProjectService/DeleteUserData", userId="ada")
    assert counts(deleted) == {"span_count": 5, "trace_count": 4}
    assert list_traces(project) == ["o"]
    assert counts(project.send("ProjectService/DeleteUserData", userId="ada")) == {}


@pytest.mark.parametrize("user_id", ["", "x" * 257, "a\0b"])
def test_delete_user_data_names_what_is_wrong(project: Project, user_id: str) -> None:
    with pytest.raises(CallError) as refused:
        project.send("ProjectService/DeleteUserData", userId=user_id)
    assert list(refused.value.violations) == ["userId"]


def test_delete_project_deletes_its_keys_too(project: Project) -> None:
    twin = project.neighbour()
    for each in (project, twin):
        create_trace(each, id="t", featureSlug="f")
    with pytest.raises(CallError, match="PROJECT_MISMATCH"):
        project.send(DELETE, projectId=twin.name)
    with pytest.raises(CallError) as refused:
        project.send(DELETE)
    assert list(refused.value.violations) == ["projectId"]
    deleted = project.send(DELETE, projectId=project.name)
    assert counts(deleted) == {"span_count": 1, "trace_count": 1, "key_count": 1}

    def is_shut() -> bool:
        with pytest.raises(CallError) as refused:
            list_traces(project)
        return refused.value.reason == "INVALID_CREDENTIALS"

    until(is_shut)
    assert list_traces(twin) == ["t"]
    again = Project(project.name, project.server.key(project.name), twin.client, twin.server)
    assert list_traces(again) == []


def test_a_project_that_is_being_deleted_refuses_calls(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_trace(project, id="t", featureSlug="f")
    erasure = project.server.running.store.erasure
    monkeypatch.setattr(erasure, "is_deleting", lambda name: name == project.name)
    direct = project.direct()
    for call in (
        lambda: list_traces(direct),
        lambda: create_trace(direct, featureSlug="f"),
        lambda: direct.send("AgentChatService/ListAgents", project_id=project.name),
    ):
        with pytest.raises(CallError, match="PROJECT_BEING_DELETED"):
            call()
    monkeypatch.undo()
    assert list_traces(project) == ["t"]


def test_update_retention_is_listed_with_the_project(project: Project) -> None:
    def listed() -> Any:
        [found] = project.send("QueryService/ListProjects").projects
        return found.retention_days if found.HasField("retention_days") else None

    assert listed() is None
    for days in (30, 0):
        answer = project.send("ProjectService/UpdateRetention", retentionDays=days)
        assert answer.retention_days == days
        assert listed() == days
    assert not project.send("ProjectService/UpdateRetention").HasField("retention_days")
    assert listed() is None
    for days in (-1, 36_501):
        with pytest.raises(CallError) as refused:
            project.send("ProjectService/UpdateRetention", retentionDays=days)
        assert list(refused.value.violations) == ["retentionDays"]


def test_an_instance_key_deletes_the_project_that_it_names(project: Project) -> None:
    create_trace(project, id="t", featureSlug="f")
    request = request_of(DELETE, {"projectId": project.name})
    deleted = project(DELETE, request, key=project.server.key(), project=project.name)
    assert counts(deleted)["span_count"] == 1
