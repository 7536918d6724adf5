from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests import grpc_gateway
from tests.contract_rules.conftest import copy_of_workspace
from tests.databases import DATABASES, new_url
from tests.servers import PUBLIC_URL, LiveServer
from tests.toolchains import need

# No test is timed, nor the making of its input: machines differ, and bench/ measures. What passes,
# passes again: new input is tried by --hypothesis-profile=explore.
for name, is_repeated in (("spanloom", True), ("explore", False)):
    hypothesis.settings.register_profile(
        name,
        derandomize=is_repeated,
        deadline=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
hypothesis.settings.load_profile("spanloom")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--full",
        action="store_true",
        help="run tests/contract with every transport on every database, not on SQLite only",
    )
    parser.addoption(
        "--histories",
        type=int,
        default=3,
        help="how many random histories tests/store/test_histories.py tries on each database",
    )
    parser.addoption(
        "--polyglot",
        action="store_true",
        help="run what needs toolchains of other languages and their registries",
    )


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "polyglot: runs only with --polyglot")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--polyglot"):
        return
    left_out = [item for item in items if item.get_closest_marker("polyglot")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]


@pytest.fixture(scope="session")
def grpc_gateway_program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need("go")
    workspace = copy_of_workspace(tmp_path_factory.mktemp("workspace"))
    return grpc_gateway.build(workspace, tmp_path_factory.mktemp("gateway"))


@pytest.fixture(scope="session", params=DATABASES)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LiveServer]:
    """One server a database for the whole run; tests keep apart by projects of their own."""
    url = new_url(request.param, tmp_path_factory.mktemp("database"))
    with LiveServer(database=url, public_url=PUBLIC_URL, log_level="error") as live:
        yield live
