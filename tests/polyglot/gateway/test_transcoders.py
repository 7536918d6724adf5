"""Every case has the same answer from Spanloom's REST, Envoy and grpc-gateway, or an exception."""

from __future__ import annotations

import itertools
import re

import pytest

from tests.clients import has_http_rule
from tests.contract.conftest import METHODS
from tests.grpc_gateway import MAIN
from tests.polyglot.gateway.answers import ask
from tests.polyglot.gateway.cases import CASES, Case
from tests.polyglot.gateway.exceptions import ENVOY, EXCEPTIONS, GRPC_GATEWAY
from tests.servers import LiveServer
from tools import contract

PAGE = contract.ROOT / "docs" / "gateways.md"
_ids = (f"id{number:06}" for number in itertools.count(1))


def compare(transcoder: str, address: str, case: Case, live: LiveServer, key: str) -> None:
    spanloom = live.running.http_address
    own = ask(spanloom, spanloom, case, next(_ids), key)
    other = ask(address, spanloom, case, next(_ids), key)
    if kind := kind_of(transcoder, case.name):
        assert own != other, f"no exception any more: {kind}"
        assert kind != "Error texts" or own.status == other.status
    else:
        assert own == other


def kind_of(transcoder: str, name: str) -> str:
    kinds = [kind for kind, names in EXCEPTIONS.items() if name in names.get(transcoder, ())]
    assert len(kinds) < 2, kinds
    return "".join(kinds)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_envoy_answers_the_same(case: Case, envoy: str, live: LiveServer, key: str) -> None:
    compare(ENVOY, envoy, case, live, key)


@pytest.mark.polyglot
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_grpc_gateway_answers_the_same(
    case: Case, grpc_gateway: str, live: LiveServer, key: str
) -> None:
    compare(GRPC_GATEWAY, grpc_gateway, case, live, key)


def test_the_cases_are_many_and_of_one_name_each() -> None:
    names = [case.name for case in CASES]
    assert len(names) == len(set(names)) >= 106


def test_the_exceptions_are_few_and_of_known_cases() -> None:
    assert len(EXCEPTIONS) <= 12
    used = {name for names in EXCEPTIONS.values() for each in names.values() for name in each}
    assert used <= {case.name for case in CASES}


def test_the_page_has_the_reason_for_every_exception() -> None:
    rows = re.findall(r"^\| ([A-Z][\w ]+?) \|.*\| ([^|]{20,}) \|$", PAGE.read_text(), re.MULTILINE)
    assert [kind for kind, _ in rows] == list(EXCEPTIONS)


def test_the_go_program_serves_every_service_that_has_rest() -> None:
    registered = re.findall(r"spanloom\.Register(\w+)Handler\b", MAIN.read_text())
    served = {
        method.descriptor.containing_service.name
        for method in METHODS.values()
        if has_http_rule(method.descriptor)
        and method.descriptor.containing_service.full_name.startswith("spanloom.")
    }
    assert sorted(registered) == sorted(served)


def test_the_go_program_of_the_page_is_the_one_that_is_tested() -> None:
    [shown] = re.findall(r"^```go\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert shown in MAIN.read_text()
