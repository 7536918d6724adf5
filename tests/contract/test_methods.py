"""What holds for every RPC of the method table, without a call."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.contract.conftest import METHODS


def snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


@pytest.mark.parametrize("method", METHODS)
def test_every_method_says_which_role_it_needs(method: str) -> None:
    # Whoever has a key may ask what it may do.
    anybody = ("",) if method == "QueryService/GetCaller" else ()
    assert METHODS[method].role in ("ingest", "read", "review", "admin", *anybody)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_a_test_of_its_name_in_its_services_file(method: str) -> None:
    package_and_service, rpc = method.split("/")
    package, _, service = package_and_service.rpartition(".")
    file = f"test_{'otlp_' if package else ''}{snake_case(service)}*.py"
    sources = [path.read_text() for path in Path(__file__).parent.glob(file)]
    tests = re.findall(r"^def (test_\w+)", "\n".join(sources), re.MULTILINE)
    assert [name for name in tests if snake_case(rpc) in name]
