"""CatalogArrayService, by its promises in proto/spanloom/v1/catalog_array_service.proto."""

from __future__ import annotations

import json
from typing import Any

from tests.contract.conftest import Project


def array(project: Project, method: str, **fields: Any) -> Any:
    document = project.send(f"CatalogArrayService/{method}", **fields).document
    assert document.content_type == "application/json"
    return json.loads(document.data)


def test_get_tool_array_has_the_names_that_older_clients_know(project: Project) -> None:
    assert array(project, "GetToolArray") == []
    for name, fields in (("a", {"task": "t", "type": "tool"}), ("b", {})):
        tool = {"name": name, "parameters": {"n": 1}, **fields}
        project.send("CatalogService/CreateTool", tool=tool)
    later, first = array(project, "GetToolArray")
    assert (first["task"], first["tool_type"], first["parameters"]) == ("t", "tool", {"n": 1})
    assert (later["task"], later["tool_type"]) == (project.name, "function")


def test_get_configuration_array_by_environment_and_name(project: Project) -> None:
    parameters = {"call_type": "chat", "model": "m"}
    for name, env in (("a", ["dev"]), ("b", ["prod"])):
        configuration = {"name": name, "provider": "p", "parameters": parameters, "env": env}
        project.send("CatalogService/CreateConfiguration", configuration=configuration)
    for fields, names in (({}, "ba"), ({"env": "dev"}, "a"), ({"name": "b"}, "b")):
        found = array(project, "GetConfigurationArray", **fields)
        assert [each["name"] for each in found] == list(names)
        assert all(each["project"] == project.name for each in found)


def test_get_metric_array_has_the_types_that_older_clients_know(project: Project) -> None:
    for kind, result in (("PYTHON", "categorical"), ("LLM", "float"), ("human", "boolean")):
        metric = {"name": kind, "type": kind, "return_type": result}
        project.send("CatalogService/CreateMetric", metric=metric)
    found = array(project, "GetMetricArray", project_name=project.name)
    assert [(each["type"], each["return_type"]) for each in found] == [
        *(("human", "boolean"), ("model", "float"), ("custom", "string"))
    ]
    assert {each["task"] for each in found} == {project.name}


def test_get_project_array_shows_the_project_of_the_key(project: Project) -> None:
    project.send("CatalogService/UpdateProject", project_id=project.name, description="d")
    shown = {"id": project.name, "name": project.name, "description": "d"}
    assert array(project, "GetProjectArray") == [shown]
    assert array(project, "GetProjectArray", name="default") == []
