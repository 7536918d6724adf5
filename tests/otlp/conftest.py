from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.clients import HttpClient
from tests.contract.conftest import Project
from tests.servers import LiveServer

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def rest(server: LiveServer) -> Iterator[HttpClient]:
    client = HttpClient(server.running.http_address)
    yield client
    client.close()


@pytest.fixture
def project(rest: HttpClient, server: LiveServer) -> Project:
    """A project of the test's own, read back over REST."""
    name = f"otlp-{next(_numbers)}"
    return Project(name, server.key(name), rest, server)
