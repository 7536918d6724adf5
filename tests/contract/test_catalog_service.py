"""CatalogService, by its promises in proto/spanloom/v1/catalog_service.proto."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.clients import CallError, HttpClient
from tests.contract.calls import as_dict
from tests.contract.conftest import Project, request_of

PARAMETERS = {"call_type": "chat", "model": "m"}
CONFIGURATION = {"name": "v0", "provider": "openai", "parameters": PARAMETERS}
METRIC = {"name": "length", "type": "PYTHON", "criteria": "f"}


def call(project: Project, method: str, **fields: Any) -> Any:
    return project.send(f"CatalogService/{method}", **fields)


def shown(entries: Any) -> list[dict[str, Any]]:
    return [as_dict(entry) for entry in entries]


def a_tool(project: Project, name: str = "add", **fields: Any) -> str:
    tool = {"name": name, "parameters": {}, **fields}
    return str(call(project, "CreateTool", tool=tool).result.inserted_id)


def a_metric(project: Project, **fields: Any) -> str:
    return str(call(project, "CreateMetric", metric={**METRIC, **fields}).metric_id)


def holds(found: dict[str, Any], sent: dict[str, Any]) -> None:
    assert {name: found.get(name) for name in sent} == sent


def refused(project: Project, method: str, **fields: Any) -> set[str]:
    """The bad fields, without the name of the entry: in REST the entry is the body."""
    with pytest.raises(CallError) as error:
        call(project, method, **fields)
    return {name.rpartition(".")[2] for name in error.value.violations}


def operator(project: Project) -> Project:
    """Calls with an instance key."""
    return replace(project, key=project.server.key("*"))


# Tools


def test_create_tool_keeps_what_was_sent_and_list_tools_shows_it(project: Project) -> None:
    sent = {"name": "a", "parameters": {"x": [1, {"y": None}]}, "mine": 1.5, "description": None}
    call(project, "CreateTool", tool={**sent, "_id": "not mine", "created_at": "never"})
    a_tool(project, "b")
    later, first = shown(call(project, "ListTools").tools)
    assert later["name"] == "b"
    holds(first, {k: v for k, v in sent.items() if k != "description"})
    assert first["id"] == first["_id"] != "not mine"
    assert (first["type"], first["project"]) == ("function", project.name)
    assert first["created_at"].endswith("Z")


def test_create_tool_names_every_bad_field(project: Project) -> None:
    assert refused(project, "CreateTool") == {"name", "parameters"}
    bad = {"name": 1, "parameters": [], "type": "x"}
    assert refused(project, "CreateTool", tool=bad) == {*("name", "parameters", "type")}
    large = {"name": "n", "parameters": {"x": "x" * 65_536}}
    assert refused(project, "CreateTool", tool=large) == {"tool"}


def test_create_tool_again_with_its_id_replaces_it(project: Project) -> None:
    before = []
    for name in ("a", "b"):
        assert a_tool(project, name, id="mine") == "mine"
        [tool] = shown(call(project, "ListTools").tools)
        before.append(tool["created_at"])
    assert (tool["name"], len(set(before))) == ("b", 1)
    assert refused(
        project, "CreateTool", tool={"id": "x" * 257, "name": "n", "parameters": {}}
    ) == {"id"}


def test_update_tool_replaces_what_it_sets(project: Project) -> None:
    tool_id = a_tool(project, description="d")
    call(project, "UpdateTool", tool={"id": tool_id, "name": "sum"})
    [tool] = shown(call(project, "ListTools").tools)
    holds(tool, {"id": tool_id, "name": "sum", "description": "d", "parameters": {}})
    assert refused(project, "UpdateTool", tool={"name": "x"}) == {"id"}
    with pytest.raises(CallError, match="ENTRY_NOT_FOUND"):
        call(project, "UpdateTool", tool={"id": "none", "name": "x"})


def test_update_tool_refuses_what_makes_the_tool_too_large(project: Project) -> None:
    tool_id = a_tool(project)
    for name, fits in (("a", True), ("b", False)):
        update = {"id": tool_id, name: "x" * 40_000}
        if fits:
            call(project, "UpdateTool", tool=update)
        else:
            assert refused(project, "UpdateTool", tool=update) == {"tool"}
    [tool] = shown(call(project, "ListTools").tools)
    assert "b" not in tool


def test_delete_tool_removes_it(project: Project) -> None:
    tool_id = a_tool(project)
    assert call(project, "DeleteTool", function_id=tool_id).deleted is True
    for gone in (tool_id, "x" * 257):
        with pytest.raises(CallError, match="ENTRY_NOT_FOUND"):
            call(project, "DeleteTool", function_id=gone)


# Configurations


def test_create_configuration_checks_what_clients_require(project: Project) -> None:
    answer = call(project, "CreateConfiguration", configuration=CONFIGURATION)
    assert (answer.acknowledged, bool(answer.inserted_id)) == (True, True)
    bad = {**CONFIGURATION, "parameters": {"model": "m"}, "env": ["here"], "tags": "a"}
    assert refused(project, "CreateConfiguration", configuration=bad) == {
        *("parameters", "env", "tags")
    }


def test_list_configurations_by_environment_and_name(project: Project) -> None:
    for name, env in (("a", ["dev"]), ("b", ["dev", "prod"]), ("c", [])):
        configuration = {**CONFIGURATION, "name": name, "env": env}
        call(project, "CreateConfiguration", configuration=configuration)
    for fields, names in (({}, "cba"), ({"env": "dev"}, "ba"), ({"name": "c"}, "c")):
        found = shown(call(project, "ListConfigurations", **fields).configurations)
        assert [each["name"] for each in found] == list(names)


def test_update_configuration_answers_as_a_database_would(project: Project) -> None:
    made = call(project, "CreateConfiguration", configuration=CONFIGURATION)
    update = {"name": "v1", "tags": ["x"]}
    answer = call(project, "UpdateConfiguration", id=made.inserted_id, configuration=update)
    assert (answer.matched_count, answer.modified_count, answer.upserted_count) == (1, 1, 0)
    assert answer.upserted_id.WhichOneof("kind") == "null_value"
    [found] = shown(call(project, "ListConfigurations").configurations)
    holds(found, {**CONFIGURATION, **update})


def test_delete_configuration_removes_it(project: Project) -> None:
    made = call(project, "CreateConfiguration", configuration=CONFIGURATION)
    assert call(project, "DeleteConfiguration", id=made.inserted_id).deleted_count == 1
    with pytest.raises(CallError, match="ENTRY_NOT_FOUND"):
        call(project, "DeleteConfiguration", id=made.inserted_id)


# Metrics


def test_create_metric_shows_the_defaults_that_clients_require(project: Project) -> None:
    metric_id = a_metric(project)
    [metric] = shown(call(project, "ListMetrics").metrics)
    holds(metric, {**METRIC, "id": metric_id, "return_type": "float", "description": ""})
    assert metric["filters"] == {"filterArray": []}
    bad = {"name": "n", "type": "x", "scale": 1.5, "enabled_in_prod": 1, "child_metrics": ["a"]}
    assert refused(project, "CreateMetric", metric=bad) == {
        *("type", "scale", "enabled_in_prod", "child_metrics")
    }


def test_create_metric_shares_its_path_with_the_metrics_of_opentelemetry(project: Project) -> None:
    client = HttpClient(project.server.running.http_address)
    try:
        for role, code in (("ingest", 403), ("admin", 200)):
            key = project.server.key(project.name, role)
            headers = {"authorization": f"Bearer {key}"}
            answer = client.http.post("/v1/metrics", json=METRIC, headers=headers)
            assert answer.status_code == code, answer.text
            dropped = {"resourceMetrics": [], "name": "a gauge"}
            answer = client.http.post("/v1/metrics", json=dropped, headers=headers)
            assert (answer.status_code, answer.json()) == (200, {})
        bad = client.http.post("/v1/metrics", json={"name": "n", "type": "x"}, headers=headers)
        assert (bad.status_code, "type" in bad.text) == (400, True)
    finally:
        client.close()
    assert [each["name"] for each in shown(call(project, "ListMetrics").metrics)] == ["length"]


def test_list_metrics_by_type_and_id(project: Project) -> None:
    first, second = a_metric(project), a_metric(project, type="LLM")
    for fields, ids in (
        ({}, [second, first]),
        ({"type": "LLM"}, [second]),
        ({"id": first}, [first]),
        ({"id": first, "type": "LLM"}, []),
    ):
        found = shown(call(project, "ListMetrics", **fields).metrics)
        assert [each["id"] for each in found] == ids


def test_update_metric_deploys_a_new_version(project: Project) -> None:
    metric_id = a_metric(project, description="d")
    call(project, "UpdateMetric", metric={"metric_id": metric_id, "criteria": "g"})
    call(project, "UpdateMetric", metric_id=metric_id, metric={"name": "size"})
    [metric] = shown(call(project, "ListMetrics").metrics)
    holds(metric, {"name": "size", "criteria": "g", "description": "d"})
    versions = shown(call(project, "ListMetricVersions", metric_id=metric_id).data)
    assert [(v["name"], v["deployed"], v["content"]["criteria"]) for v in versions] == [
        *(("v1", False, "f"), ("v2", False, "g"), ("v3", True, "g"))
    ]


def test_delete_metric_deletes_its_versions(project: Project) -> None:
    metric_id = a_metric(project)
    assert call(project, "DeleteMetric", metric_id=metric_id).deleted is True
    with pytest.raises(CallError, match="ENTRY_NOT_FOUND"):
        call(project, "ListMetricVersions", metric_id=metric_id)


def test_create_metric_version_changes_the_metric_only_when_it_is_deployed(
    project: Project,
) -> None:
    metric_id = a_metric(project)
    for deploy, criteria in ((False, "f"), (True, "g")):
        content = {**METRIC, "criteria": "g"}
        fields = {"metric_id": metric_id, "content": content, "deploy_immediately": deploy}
        version = as_dict(call(project, "CreateMetricVersion", message="m", **fields).data)
        assert (version["message"], version["deployed"]) == ("m", deploy)
        assert len(version["full_sha"]) == 64
        [metric] = shown(call(project, "ListMetrics").metrics)
        assert metric["criteria"] == criteria
    assert refused(project, "CreateMetricVersion", metric_id=metric_id) == {*("name", "type")}


def test_list_metric_versions_keeps_the_latest_and_the_deployed_one(project: Project) -> None:
    metric_id = a_metric(project)
    for _ in range(22):
        call(project, "CreateMetricVersion", metric_id=metric_id, content=METRIC)
    versions = shown(call(project, "ListMetricVersions", metric_id=metric_id).data)
    assert [version["name"] for version in versions] == ["v1", *(f"v{n}" for n in range(4, 24))]


def test_list_metric_versions_shows_contents_as_deep_as_they_may_be(project: Project) -> None:
    deep: Any = {}
    for _ in range(25):
        deep = {"x": deep}
    metric_id = a_metric(project, threshold=deep)
    assert shown(call(project, "ListMetrics").metrics)[0]["threshold"] == deep
    [version] = shown(call(project, "ListMetricVersions", metric_id=metric_id).data)
    assert version["content"]["threshold"]["x"]


def test_deploy_metric_version_shows_that_version(project: Project) -> None:
    metric_id = a_metric(project)
    call(project, "UpdateMetric", metric_id=metric_id, metric={"criteria": "g", "scale": 3})
    named = {"metric_id": metric_id, "version_name": "v1"}
    assert as_dict(call(project, "DeployMetricVersion", **named).data)["deployed"] is True
    [metric] = shown(call(project, "ListMetrics").metrics)
    assert (metric["criteria"], "scale" in metric) == ("f", False)
    for unknown in ({"version_name": "v9"}, {"metric_id": "none"}):
        with pytest.raises(CallError, match="ENTRY_NOT_FOUND"):
            call(project, "DeployMetricVersion", **{**named, **unknown})


# Charts


def test_create_chart_answers_with_all_that_clients_require(project: Project) -> None:
    chart = as_dict(call(project, "CreateChart", chart={"name": "n", "metric": "cost"}).data)
    holds(chart, {"name": "n", "metric": "cost", "bucketing": "hour", "query": []})
    for name in ("description", "func", "groupBy", "dateRange", "owner_id"):
        assert chart[name] is None
    assert refused(project, "CreateChart", chart={"query": {}}) == {*("name", "metric", "query")}


def test_get_chart_and_list_charts_show_what_update_chart_made(project: Project) -> None:
    made = as_dict(call(project, "CreateChart", chart={"name": "n", "metric": "cost"}).data)
    update = {"func": "sum", "dateRange": {"relative": "7d"}}
    changed = as_dict(call(project, "UpdateChart", chart_id=made["id"], chart=update).data)
    holds(changed, {**update, "name": "n", "created_at": made["created_at"]})
    assert as_dict(call(project, "GetChart", chart_id=made["id"]).data) == changed
    assert shown(call(project, "ListCharts").data) == [changed]
    with pytest.raises(CallError, match="ENTRY_NOT_FOUND"):
        call(project, "GetChart", chart_id="none")


def test_delete_chart_removes_it(project: Project) -> None:
    made = as_dict(call(project, "CreateChart", chart={"name": "n", "metric": "cost"}).data)
    assert call(project, "DeleteChart", chart_id=made["id"]).success is True
    with pytest.raises(CallError, match="ENTRY_NOT_FOUND"):
        call(project, "DeleteChart", chart_id=made["id"])


# Projects


def test_create_project_makes_one_that_list_catalog_projects_shows(project: Project) -> None:
    name = f"{project.name} made"
    instance = operator(project)
    for text in ("a", "b"):
        made = call(instance, "CreateProject", name=name, description=text)
        assert (made.id, made.name, made.description) == (name, name, text)
    [found] = call(instance, "ListCatalogProjects", name=name).projects
    assert (found.id, found.description) == (name, "b")
    everything = call(instance, "ListCatalogProjects").projects
    assert {name, project.name} <= {each.name for each in everything}
    assert refused(instance, "CreateProject") == {"name"}


def test_list_catalog_projects_shows_a_key_its_own_project_alone(project: Project) -> None:
    for fields in ({}, {"name": project.name}):
        [found] = call(project, "ListCatalogProjects", **fields).projects
        assert found.name == project.name
    assert not call(project, "ListCatalogProjects", name="default").projects


def test_update_project_changes_the_description_and_never_the_name(project: Project) -> None:
    fields = {"project_id": project.name, "description": "d"}
    call(project, "UpdateProject", **fields, name=project.name)
    [found] = call(project, "ListCatalogProjects").projects
    assert found.description == "d"
    assert refused(project, "UpdateProject", **fields, name="another") == {"name"}
    with pytest.raises(CallError, match="PROJECT_MISMATCH"):
        call(project, "UpdateProject", project_id="default", description="d")
    with pytest.raises(CallError, match="ENTRY_NOT_FOUND"):
        call(operator(project), "UpdateProject", project_id=f"{project.name} not made")


def test_delete_empty_project_deletes_an_empty_one_alone(project: Project) -> None:
    instance = operator(project)
    name = f"{project.name} made"
    call(instance, "CreateProject", name=name, description="d")
    tool = {"name": "t", "parameters": {}, "project": name}
    tool_id = call(instance, "CreateTool", tool=tool).result.inserted_id
    with pytest.raises(CallError, match="PROJECT_NOT_EMPTY"):
        call(instance, "DeleteEmptyProject", name=name)
    in_project = {"project": name}
    instance(
        "CatalogService/DeleteTool",
        request_of("CatalogService/DeleteTool", {"function_id": tool_id}),
        **in_project,
    )
    event = {"event_type": "tool", "event_id": f"{name} e", "project": name}
    instance.send("EventService/CreateEvent", event=event)
    with pytest.raises(CallError, match="PROJECT_NOT_EMPTY"):
        call(instance, "DeleteEmptyProject", name=name)
    delete_event = request_of("EventService/DeleteEvent", {"event_id": f"{name} e"})
    instance("EventService/DeleteEvent", delete_event, **in_project)
    assert call(instance, "DeleteEmptyProject", name=name).deleted is True
    assert not call(instance, "ListCatalogProjects", name=name).projects
    with pytest.raises(CallError, match="ENTRY_NOT_FOUND"):
        call(instance, "DeleteEmptyProject", name=name)
    call(instance, "CreateTool", tool=tool)  # a write makes the project again
    [found] = call(instance, "ListCatalogProjects", name=name).projects
    assert found.description == ""


def test_delete_empty_project_is_for_those_who_may_manage_the_project(project: Project) -> None:
    with pytest.raises(CallError, match="PROJECT_MISMATCH"):
        call(project, "DeleteEmptyProject", name="default")
    with pytest.raises(CallError, match="PROJECT_NOT_EMPTY"):  # it has the key of the call
        call(project, "DeleteEmptyProject", name=project.name)
