"""Every transport and database that the contract's tests run on, and a project for each test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message

from spanloom import app
from tests.clients import (
    PACKAGE,
    Client,
    GrpcClient,
    HttpClient,
    TranscoderClient,
    has_http_rule,
    method_descriptor,
    request_class,
)
from tests.databases import DATABASES
from tests.envoy import Envoy, descriptor_set
from tests.grpc_gateway import GrpcGateway
from tests.servers import LiveServer

TRANSPORTS = ("direct", "grpc", "rest", "envoy", "grpc-gateway")
# What only --full runs, by transport and database.
LEFT_OUT = {
    (transport, database)
    for transport in TRANSPORTS
    for database in DATABASES
    if transport != "direct" and database != "sqlite"
}
# The method table by name: `TraceService/CreateTrace`; a service of another package has its
# package's name. Tests are parametrised by it before there is a store; none of these is called.
METHODS = {method.full_name.removeprefix(f"{PACKAGE}."): method for method in app.methods(Mock())}
_numbers = itertools.count(1)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without --full, databases other than SQLite are tried by direct calls only."""
    if config.getoption("--full"):
        return

    def is_left_out(item: pytest.Item) -> bool:
        callspec = getattr(item, "callspec", None)
        params = callspec.params if callspec else {}
        return (params.get("client", "direct"), params.get("server", "sqlite")) in LEFT_OUT

    config.hook.pytest_deselected(items=[item for item in items if is_left_out(item)])
    items[:] = [item for item in items if not is_left_out(item)]


@pytest.fixture(scope="session")
def envoy(server: LiveServer) -> Iterator[Envoy]:
    services = {
        method.descriptor.containing_service
        for method in METHODS.values()
        if has_http_rule(method.descriptor)
    }
    descriptors = descriptor_set(*{service.file for service in services})
    names = [service.full_name for service in services]
    with Envoy(descriptors, names, server.running.grpc_address) as running:
        yield running


@pytest.fixture(scope="session")
def gateway(server: LiveServer, grpc_gateway_program: Path) -> Iterator[GrpcGateway]:
    with GrpcGateway(grpc_gateway_program, server.running.grpc_address) as running:
        yield running


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(name, marks=pytest.mark.polyglot) if name == "grpc-gateway" else name
        for name in TRANSPORTS
    ],
)
def client(request: pytest.FixtureRequest, server: LiveServer) -> Iterator[Client]:
    made: Client
    if request.param == "direct":
        made = server.direct()
    elif request.param == "grpc":
        made = GrpcClient(server.running.grpc_address)
    elif request.param == "rest":
        made = HttpClient(server.running.http_address)
    elif request.param == "envoy":
        address = request.getfixturevalue("envoy").address
        made = TranscoderClient(address, address)
    else:
        address = request.getfixturevalue("gateway").address
        made = TranscoderClient(address, server.running.grpc_address)
    yield made
    made.close()


def request_of(method: str, fields: dict[str, Any]) -> Message:
    """A method's request, from its fields as JSON."""
    return json_format.ParseDict(fields, request_class(method_descriptor(method))())


@dataclass
class Project:
    """A project of the test's own, and calls with its admin key."""

    name: str
    key: str
    client: Client
    server: LiveServer

    def __call__(self, method: str, request: Message, **options: Any) -> Any:
        return self.client.call(method, request, **{"key": self.key, **options})

    def send(self, method: str, **fields: Any) -> Any:
        """Call a method with the fields of its request as JSON."""
        return self(method, request_of(method, fields))

    def direct(self) -> Project:
        """The same project by direct calls, for what a test needs before and after its own."""
        return replace(self, client=self.server.direct())

    def neighbour(self) -> Project:
        """Another project, which nobody has written to."""
        return new_project(self.client, self.server)


def new_project(client: Client, server: LiveServer) -> Project:
    name = f"project-{next(_numbers)}"
    return Project(name, server.key(name), client, server)


@pytest.fixture
def project(client: Client, server: LiveServer) -> Project:
    return new_project(client, server)
