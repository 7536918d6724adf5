"""A server for programs of other languages, and what their toolchains need to be there."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.contract_rules.conftest import copy_of_workspace
from tests.servers import LiveServer
from tools import contract

# Each asks the toolchain's registry for one package that the tests need.
PROBES = {
    "go": ("go", "list", "-m", "google.golang.org/protobuf@v1.36.12"),
    "node": ("npm", "view", "@bufbuild/protobuf@2.17.0", "version"),
    "java": ("mvn", "--quiet", "dependency:get", "-Dartifact=io.grpc:grpc-bom:1.85.1:pom"),
    "rust": ("cargo", "info", "--quiet", "tonic@0.14.9"),
    "python": (sys.executable, "-m", "pip", "index", "versions", "grpcio-tools"),
}
Need = Callable[[str], None]


@cache
def _missing(toolchain: str) -> str:
    """Why a toolchain cannot be used; empty if it can."""
    program, *_ = command = PROBES[toolchain]
    if shutil.which(program) is None:
        return f"{program} is not installed"
    try:
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        return f"the registry of {program} does not answer"
    said = (done.stderr or done.stdout).strip().splitlines()
    return f"the registry of {program}: {said[-1:]}" if done.returncode else ""


@pytest.fixture(scope="session")
def need() -> Need:
    """Skips a test whose toolchain is missing, or whose registry cannot be reached."""

    def check(toolchain: str) -> None:
        if reason := _missing(toolchain):
            pytest.skip(reason)

    return check


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
