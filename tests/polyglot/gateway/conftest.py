from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients import has_http_rule
from tests.contract.conftest import METHODS
from tests.envoy import Envoy, descriptor_set
from tests.grpc_gateway import GrpcGateway
from tests.servers import LiveServer


@pytest.fixture(scope="package")
def envoy(live: LiveServer) -> Iterator[str]:
    methods = [method.descriptor for method in METHODS.values()]
    services = {method.containing_service for method in methods if has_http_rule(method)}
    descriptors = descriptor_set(*{service.file for service in services})
    names = [service.full_name for service in services]
    with Envoy(descriptors, names, live.running.grpc_address) as running:
        yield running.address


@pytest.fixture(scope="package")
def grpc_gateway(live: LiveServer, grpc_gateway_program: Path) -> Iterator[str]:
    with GrpcGateway(grpc_gateway_program, live.running.grpc_address) as running:
        yield running.address


@pytest.fixture(scope="package")
def key(live: LiveServer) -> str:
    return live.key("default")
