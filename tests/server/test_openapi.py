"""The OpenAPI document and the descriptor set, against the server that they describe."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool

from spanloom import app
from spanloom.errors import Reason
from spanloom.server.http.json_schema import Schemas
from spanloom.server.http.openapi import document
from spanloom.server.http.router import bindings
from spanloom.server.http.transcode import JSON
from spanloom.server.methods import Method, method_table
from spanloom.v1 import session_service_pb2, span_service_pb2
from tests.server.lab import PATHS, Lab, service
from tests.servers import LiveServer

EVENTS = {"events": [{"event_name": "e", "event_type": "tool"}]}
OPERATIONS = ("get", "put", "post", "delete", "patch")


@pytest.fixture(scope="module")
def http(server: LiveServer) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=f"http://{server.running.http_address}",
        headers={"authorization": f"Bearer {server.key('openapi')}"},
        trust_env=False,
    ) as client:
        yield client


@pytest.fixture(scope="module")
def api(http: httpx.Client) -> Any:
    return http.get("/openapi.json", headers={"authorization": ""}).json()


@pytest.fixture(scope="module")
def methods(server: LiveServer) -> list[Method]:
    return app.methods(server.running.store)


def operations(api: Any) -> Iterator[tuple[str, str, Any]]:
    for path, item in api["paths"].items():
        assert set(item) <= set(OPERATIONS)
        for verb, operation in item.items():
            yield path, verb, operation


def test_no_two_paths_differ_only_in_the_names_of_their_parameters(api: Any) -> None:
    shapes = [re.sub(r"{[^}]*}", "{}", path) for path in api["paths"]]
    assert len(set(shapes)) == len(shapes)
    assert "." not in "".join(re.findall(r"{[^}]*}", " ".join(api["paths"])))


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for each in value.values():
            yield from references(each)
    elif isinstance(value, list):
        for each in value:
            yield from references(each)


def found(api: Any, reference: str) -> Any:
    assert reference.startswith("#/")
    value = api
    for step in reference[2:].split("/"):
        value = value[step]
    return value


def schema_of(api: Any, schema: Any) -> Any:
    return {**schema, "components": api["components"]}


def test_every_path_of_every_method_is_there_once(api: Any, methods: list[Method]) -> None:
    expected = {
        (re.sub(r"{(\w+\.)+", "{", binding.template), binding.http_method.lower())
        for method in methods
        for binding in bindings(method.descriptor)
    }
    assert {(path, verb) for path, verb, _ in operations(api)} == expected
    ids = [operation["operationId"] for _, _, operation in operations(api)]
    assert len(set(ids)) == len(ids)
    tags = [tag["name"] for tag in api["tags"]]
    assert len(set(tags)) == len(tags)
    assert {tag for _, _, o in operations(api) for tag in o["tags"]} == set(tags)
    assert api["openapi"] == "3.1.0"


def test_what_is_referred_to_is_there_and_every_schema_is_valid(api: Any) -> None:
    assert all(found(api, reference) for reference in references(api))
    for schema in api["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for path, _, operation in operations(api):
        named = {p["name"] for p in operation["parameters"] if p.get("in") == "path"}
        assert named == {part.split("}")[0] for part in path.split("{")[1:]}
        for parameter in operation["parameters"]:
            if "$ref" not in parameter:
                jsonschema.Draft202012Validator.check_schema(parameter["schema"])


def test_every_operation_has_its_comment_its_role_and_its_reasons(
    api: Any, methods: list[Method]
) -> None:
    roles = {method.full_name: method.role or "any" for method in methods}
    for _, _, operation in operations(api):
        name = operation["x-grpc-method"]
        assert operation["x-required-role"] == roles[name]
        assert set(operation["x-error-reasons"]) <= {str(reason) for reason in Reason}
        if name.startswith("spanloom."):
            assert operation["summary"]
    found = api["paths"]["/v1/traces/{trace_id}"]["get"]
    assert found["x-error-reasons"] == ["TRACE_NOT_FOUND"]
    assert found["x-required-role"] == "read"
    assert found["tags"] == ["TraceService"]


def test_field_options_make_required_and_deprecated() -> None:
    schemas = Schemas({})
    schemas.of_message(span_service_pb2.GetSpanRequest.DESCRIPTOR)
    assert schemas.found["GetSpanRequest"]["required"]
    request = span_service_pb2.GetSpanRequest.DESCRIPTOR
    first = schemas.found["GetSpanRequest"]["required"][0]
    names = {field.json_name: field.name for field in request.fields}
    inline = schemas.of_message(request, without=[names[first]])
    assert first not in inline["properties"]
    assert first not in inline.get("required", [])
    schemas.of_message(session_service_pb2.AddSessionTracesRequest.DESCRIPTOR)
    assert schemas.found["AddSessionTracesRequest"]["properties"]["logs"]["deprecated"]


@pytest.mark.parametrize(
    ("verb", "path", "template", "body"),
    [
        ("post", "/monitor/trace", "/monitor/trace", {"id": "a", "name": "n", "featureSlug": "f"}),
        ("get", "/v1/traces/a", "/v1/traces/{trace_id}", None),
        ("get", "/v1/traces?pageSize=1", "/v1/traces", None),
        ("post", "/events/batch", "/events/batch", EVENTS),
    ],
)
def test_answers_are_as_described(
    api: Any, http: httpx.Client, verb: str, path: str, template: str, body: Any
) -> None:
    operation = api["paths"][template][verb]
    if body is not None:
        asked = operation["requestBody"]["content"]["application/json"]["schema"]
        jsonschema.validate(body, schema_of(api, asked))
    answer = http.request(verb, path, json=body)
    assert answer.status_code == 200, answer.text
    described = operation["responses"]["200"]["content"]["application/json"]["schema"]
    jsonschema.validate(answer.json(), schema_of(api, described))
    assert set(answer.headers) & {"x-request-id"} <= set(operation["responses"]["200"]["headers"])


EXAMPLES = (
    "/v1/spans:write",
    "/monitor/trace",
    "/v1/events/batch",
    "/events/batch",
    "/agents/traces/chat",
)


def test_the_examples_are_those_of_known_paths(api: Any) -> None:
    with_example = {
        path
        for path, _, operation in operations(api)
        if "example" in operation.get("requestBody", {}).get("content", {}).get(JSON, {})
    }
    assert with_example == set(EXAMPLES)


@pytest.mark.parametrize("path", EXAMPLES)
def test_the_examples_are_valid_and_answered_as_shown(
    server: LiveServer, api: Any, path: str
) -> None:
    operation = api["paths"][path]["post"]
    sent = operation["requestBody"]["content"][JSON]
    jsonschema.validate(sent["example"], schema_of(api, sent["schema"]))
    key = {"authorization": f"Bearer {server.key('default')}"}
    url = f"http://{server.running.http_address}"
    with httpx.Client(base_url=url, headers=key, trust_env=False) as client:
        answer = client.post(path, json=sent["example"])
    assert answer.status_code == 200, answer.text
    shown = operation["responses"]["200"]["content"][JSON]
    if "example" in shown:
        jsonschema.validate(shown["example"], schema_of(api, shown["schema"]))
        assert shown["example"].keys() == answer.json().keys()


@pytest.mark.parametrize("path", EXAMPLES)
def test_the_examples_are_the_calls_of_the_readme(api: Any, path: str) -> None:
    example = api["paths"][path]["post"]["requestBody"]["content"][JSON]["example"]
    text = (Path(__file__).parents[2] / "README.md").read_text()
    shown = re.findall(r"<<'EOF'\n(.*?)\nEOF|-d '({.*?})'", text, re.DOTALL)
    assert example in [without_nulls(json.loads(whole or short)) for whole, short in shown]


def without_nulls(value: Any) -> Any:
    """Fields that are null are as if they were not there, but the schemas do not have null."""
    if isinstance(value, dict):
        return {k: without_nulls(item) for k, item in value.items() if item is not None}
    return [without_nulls(item) for item in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("path", "key"), [("/v1/traces/none", True), ("/v1/traces", False)])
def test_errors_are_as_described(api: Any, http: httpx.Client, path: str, key: bool) -> None:
    answer = http.get(path, headers={} if key else {"authorization": ""})
    assert answer.status_code in (401, 404)
    error = found(api, api["paths"]["/v1/traces"]["get"]["responses"]["default"]["$ref"])
    schema = error["content"]["application/json"]["schema"]
    jsonschema.validate(answer.json(), schema_of(api, schema))


def test_streams_are_lines(api: Any) -> None:
    table = method_table({service(PATHS): Lab()})
    lab: Any = document(table)
    [count] = [operation for path, _, operation in operations(lab) if path == "/lab/counts"]
    [kind] = count["responses"]["200"]["content"]
    assert kind == "application/x-ndjson"
    [join] = [operation for path, _, operation in operations(lab) if path == "/lab/join"]
    assert list(join["requestBody"]["content"]) == ["application/x-ndjson"]
    [whole] = [
        o for _, _, o in operations(api) if o["operationId"] == "TraceExportService_ExportTrace"
    ]
    assert whole["responses"]["200"]["content"] == {"application/json": {}}


def test_the_descriptor_set_holds_all_that_a_gateway_needs(
    http: httpx.Client, methods: list[Method]
) -> None:
    answer = http.get("/descriptor.binpb")
    assert answer.headers["x-request-id"]
    image = descriptor_pb2.FileDescriptorSet.FromString(answer.content)
    pool = descriptor_pool.DescriptorPool()
    for file in image.file:
        pool.Add(file)  # refuses a file whose imports are not there before it
    for method in methods:
        assert pool.FindMethodByName(method.descriptor.full_name)


def test_head_answers_as_get_without_a_body(http: httpx.Client) -> None:
    for path in ("/v1/traces", "/openapi.json", "/healthz"):
        asked, got = http.head(path), http.get(path)
        assert (asked.status_code, asked.content) == (200, b"")
        assert asked.headers["content-type"] == got.headers["content-type"]
        assert asked.headers["content-length"] == got.headers["content-length"]
    assert http.head("/v1/traces/none").status_code == 404
    answer = http.head("/monitor/trace")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    assert http.put("/v1/traces/a").headers["allow"] == "DELETE, GET, HEAD"
