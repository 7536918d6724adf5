from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from google.protobuf import descriptor_pool
from google.protobuf.message import Message

from tests.clients import PACKAGE, Client, GrpcClient, HttpClient
from tests.envoy import Envoy, descriptor_set
from tests.servers import LiveServer

TRANSPORTS = ("direct", "grpc", "rest", "envoy")
SERVICES = [
    f"{PACKAGE}.{name}"
    for name in (
        "TraceService",
        "TraceExportService",
        "EventService",
        "SessionService",
        "AgentChatService",
        "FeedbackService",
        "ExperimentService",
        "PromptService",
        "EvaluatorService",
        "DatasetService",
    )
]
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def envoy(server: LiveServer) -> Iterator[Envoy]:
    files = {descriptor_pool.Default().FindServiceByName(name).file for name in SERVICES}
    with Envoy(descriptor_set(*files), SERVICES, server.running.grpc_address) as running:
        yield running


@pytest.fixture(scope="session", params=TRANSPORTS)
def client(request: pytest.FixtureRequest, server: LiveServer) -> Iterator[Client]:
    made: Client
    if request.param == "direct":
        made = server.direct()
    elif request.param == "grpc":
        made = GrpcClient(server.running.grpc_address)
    elif request.param == "rest":
        made = HttpClient(server.running.http_address)
    else:
        made = HttpClient(request.getfixturevalue("envoy").address)
    yield made
    made.close()


@dataclass
class Project:
    """A project of the test's own, and calls with its admin key."""

    name: str
    key: str
    client: Client
    server: LiveServer

    def __call__(self, method: str, request: Message, **options: Any) -> Any:
        return self.client.call(method, request, **{"key": self.key, **options})


@pytest.fixture
def project(client: Client, server: LiveServer) -> Project:
    name = f"project-{next(_numbers)}"
    return Project(name, server.key(name), client, server)
