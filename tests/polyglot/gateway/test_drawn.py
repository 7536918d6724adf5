"""Random requests have the same answer from Spanloom's REST, Envoy and grpc-gateway."""

from __future__ import annotations

import itertools

import pytest
from google.protobuf.descriptor import MethodDescriptor

from tests.clients import has_http_rule
from tests.contract.conftest import METHODS
from tests.polyglot.gateway import drawn
from tests.polyglot.gateway.answers import ask
from tests.servers import LiveServer
from tools.api_docs import NATIVE

# Requests to each transcoder.
NUMBER = 200


def methods() -> list[MethodDescriptor]:
    """Those of native services with one answer, which reads, or writes what the request has."""
    return [
        method.descriptor
        for method in METHODS.values()
        if has_http_rule(method.descriptor)
        and method.descriptor.containing_service.name in NATIVE
        and not method.descriptor.server_streaming
        and not method.descriptor.client_streaming
        and method.descriptor.name.startswith(("Get", "List", "Write", "Search", "Count", "Read"))
    ]


def differences(address: str, live: LiveServer, key: str, seed: int) -> list[str]:
    own = live.running.http_address
    found = []
    for number, case in enumerate(itertools.islice(drawn.cases(methods(), seed), NUMBER)):
        one = ask(own, own, case, f"d{seed}-{number}", key)
        other = ask(address, own, case, f"d{seed}-{number}", key)
        # Texts of errors may differ (docs/gateways.md).
        if one.status != other.status or (one.status == 200 and one != other):
            found.append(f"{case.name}: {case.request}\n  {one}\n  {other}")
    return found


@pytest.mark.polyglot
@pytest.mark.parametrize("seed", [1])
def test_envoy_answers_the_same(envoy: str, live: LiveServer, key: str, seed: int) -> None:
    assert not (wrong := differences(envoy, live, key, seed)), "\n".join(wrong)


@pytest.mark.polyglot
@pytest.mark.parametrize("seed", [2])
def test_grpc_gateway_answers_the_same(
    grpc_gateway: str, live: LiveServer, key: str, seed: int
) -> None:
    assert not (wrong := differences(grpc_gateway, live, key, seed)), "\n".join(wrong)
