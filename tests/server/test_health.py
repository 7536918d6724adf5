"""Health and reflection over the network: they say whether the database answers."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import psycopg
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from sqlalchemy.engine import URL, make_url

from spanloom import app
from tests.clients import until
from tests.databases import new_url
from tests.servers import LiveServer

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING


class Probes:
    """What a load balancer asks, without a key."""

    def __init__(self, server: LiveServer) -> None:
        self.channel = grpc.insecure_channel(server.running.grpc_address)
        self.http = httpx.Client(base_url=f"http://{server.running.http_address}", trust_env=False)

    def grpc(self, service: str = "") -> int:
        request = health_pb2.HealthCheckRequest(service=service)
        stub: Any = health_pb2_grpc.HealthStub(self.channel)
        return int(stub.Check(request, timeout=10).status)

    def get(self, path: str) -> tuple[int, Any]:
        answer = self.http.get(path)
        return answer.status_code, answer.json()

    def close(self) -> None:
        self.channel.close()
        self.http.close()


@pytest.fixture
def probes(server: LiveServer) -> Iterator[Probes]:
    probes = Probes(server)
    yield probes
    probes.close()


def test_a_ready_server_serves_every_service(server: LiveServer, probes: Probes) -> None:
    services = {
        m.descriptor.containing_service.full_name for m in app.methods(server.running.store)
    }
    assert len(services) >= 5
    assert {service: probes.grpc(service) for service in ["", *services]} == dict.fromkeys(
        ["", *services], SERVING
    )
    assert probes.get("/healthz") == (200, {"status": "ok"})
    assert probes.get("/readyz") == (200, {"status": "ok"})


def test_an_unknown_service_is_not_found(probes: Probes) -> None:
    with pytest.raises(grpc.RpcError) as refused:
        probes.grpc("spanloom.v1.NoService")
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND


def test_reflection_names_and_describes_every_service(server: LiveServer, probes: Probes) -> None:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(probes.channel)

    def ask(**question: Any) -> Any:
        request = reflection_pb2.ServerReflectionRequest(**question)
        return next(iter(stub.ServerReflectionInfo(iter([request]), timeout=10)))

    listed = {s.name for s in ask(list_services="").list_services_response.service}
    services = {
        m.descriptor.containing_service.full_name for m in app.methods(server.running.store)
    }
    assert listed >= services | {"grpc.health.v1.Health"}
    for service in services:
        files = ask(file_containing_symbol=service).file_descriptor_response.file_descriptor_proto
        name = service.rpartition(".")[2].encode()
        assert any(name in file for file in files)
    for symbol in ("spanloom.v1.SpanService.GetSpan", "spanloom.v1.Span.name"):
        files = ask(file_containing_symbol=symbol).file_descriptor_response.file_descriptor_proto
        assert files, symbol
    unknown = ask(file_containing_symbol="spanloom.v1.SpanService.GetNothing").error_response
    assert unknown.error_code == grpc.StatusCode.NOT_FOUND.value[0]


def test_health_follows_the_database(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.CRITICAL, "spanloom.store")
    url = make_url(new_url("postgresql", tmp_path))
    with LiveServer(database=url.render_as_string(False), log_level="error") as server:
        probes = Probes(server)
        assert (probes.grpc(), probes.get("/readyz")[0]) == (SERVING, 200)
        try:
            allow_connections(url, False)
            until(lambda: probes.grpc() == NOT_SERVING, 30)
            assert probes.grpc("spanloom.v1.TraceService") == NOT_SERVING
            assert probes.get("/readyz") == (503, {"status": "unavailable"})
            assert probes.get("/healthz") == (200, {"status": "ok"})
        finally:
            allow_connections(url, True)
        until(lambda: probes.grpc() == SERVING, 30)
        assert probes.get("/readyz")[0] == 200
        probes.close()


def allow_connections(url: URL, allowed: bool) -> None:
    """Take a database away from its clients, or give it back."""
    other = url.set(drivername="postgresql", database="postgres").render_as_string(False)
    with psycopg.connect(other, autocommit=True) as server:
        server.execute(f"ALTER DATABASE {url.database} ALLOW_CONNECTIONS {allowed}")
        if not allowed:
            server.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
                [url.database],
            )
