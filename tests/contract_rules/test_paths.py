"""The REST paths of all services, served or not yet, and those that belong to other products."""

from __future__ import annotations

import importlib
import re
from urllib.parse import quote

import pytest
from google.protobuf import descriptor_pool
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2

from spanloom.server.http.router import Binding, Router, bindings
from tools import contract
from tools.api_docs import NATIVE, PACKAGE

# Calls of other products under /v1 that are or may be served one day, in their own shapes.
FOREIGN = [
    *(
        ("GET", f"/v1/{name}")
        for name in ("datasets", "datapoints", "metrics", "tools", "projects")
    ),
    *(("POST", f"/v1/{name}") for name in ("datasets", "datapoints", "metrics", "runs", "traces")),
    *(("PUT", f"/v1/{name}/x") for name in ("datasets", "datapoints", "metrics", "tools")),
    *(("DELETE", f"/v1/{name}/x") for name in ("datasets", "events", "sessions", "runs")),
    *(("POST", f"/v1/{name}") for name in ("logs", "configurations", "events", "sessions")),
    *(("GET", path) for path in ("/v1/runs", "/v1/runs/x", "/v1/runs/x/result", "/v1/charts")),
    *(("GET", path) for path in ("/v1/runs/x/compare-with/y", "/v1/projects/x/datapoints")),
    *(("GET", path) for path in ("/v1/events", "/v1/events/x", "/v1/sessions", "/v1/sessions/x")),
]


def _bindings() -> list[Binding]:
    """Of every service of the package, whether the server has it or not, and of OpenTelemetry."""
    pool = descriptor_pool.Default()
    services = [trace_service_pb2.DESCRIPTOR.services_by_name["TraceService"]]
    for file in sorted(contract.PROTO.rglob("*_service.proto")):
        importlib.import_module(f"{PACKAGE}.{file.stem}_pb2")
        found = pool.FindFileByName(str(file.relative_to(contract.PROTO)))
        services += found.services_by_name.values()
    return [b for service in services for method in service.methods for b in bindings(method)]


BINDINGS = _bindings()


def is_native(binding: Binding) -> bool:
    return binding.method.containing_service.name in NATIVE


def test_no_two_calls_have_one_path() -> None:
    """The router refuses two templates that match the very same requests."""
    assert len(BINDINGS) > 80
    Router(BINDINGS)


@pytest.mark.parametrize("binding", BINDINGS, ids=lambda b: f"{b.http_method} {b.template}")
def test_every_path_leads_to_its_own_call(binding: Binding) -> None:
    path = re.sub(r"\{[^}]*\}", "0f", binding.template)
    match = Router(BINDINGS).match(binding.http_method, path)
    assert match is not None
    assert match.binding is binding


@pytest.mark.parametrize(("http_method", "path"), FOREIGN)
def test_no_native_call_takes_a_path_of_another_product(http_method: str, path: str) -> None:
    native = Router(binding for binding in BINDINGS if is_native(binding))
    assert native.match(http_method, path) is None


@pytest.mark.parametrize("span_id", ["a:readText", "a/b", "a b", "é"])
def test_any_id_can_be_written_in_a_path(span_id: str) -> None:
    """A colon that is percent-encoded is a part of the id and not a verb."""
    path = f"/v1/traces/t/spans/{quote(span_id, safe='')}"
    match = Router(BINDINGS).match("GET", path)
    assert match is not None
    assert match.binding.method.name == "GetSpan"
    assert match.variables == {"trace_id": "t", "span_id": span_id}
