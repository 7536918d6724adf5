"""A server for programs of other languages, and what their toolchains need to be there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract_rules.conftest import copy_of_workspace
from tests.servers import LiveServer
from tools import contract


@pytest.fixture(scope="session")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    home = tmp_path_factory.mktemp("server")
    with LiveServer(database=f"sqlite:///{home}/spanloom.db", log_level="error") as running:
        yield running


@pytest.fixture(scope="session")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `make install` leaves of a clone for those who generate clients."""
    root = copy_of_workspace(tmp_path_factory.mktemp("clone"))
    (root / ".venv").symlink_to(contract.ROOT / ".venv")
    return root
