"""A copy of buf's workspace, so that tests may change proto files and buf runs without a
network."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tools import contract

Buf = Callable[..., subprocess.CompletedProcess[str]]


def copy_of_workspace(target: Path) -> Path:
    shutil.copytree(contract.PROTO, target / "proto")
    for file in contract.ROOT.glob("buf*.yaml"):
        shutil.copyfile(file, target / file.name)
    contract.googleapis(target)
    return target


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_of_workspace(tmp_path_factory.mktemp("workspace"))


@pytest.fixture(scope="session")
def buf(tmp_path_factory: pytest.TempPathFactory) -> Buf:
    """Runs buf without a network and with an empty cache, as in a new clone."""
    nowhere = "http://127.0.0.1:1"
    environment = {
        **contract.ENVIRONMENT,
        "BUF_CACHE_DIR": str(tmp_path_factory.mktemp("cache")),
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"), nowhere),
    }

    def run(
        *arguments: str, cwd: Path, path: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        before = f"{path}{os.pathsep}" if path else ""
        return subprocess.run(
            ("buf", *arguments),
            cwd=cwd,
            env={**environment, "PATH": before + environment["PATH"]},
            capture_output=True,
            text=True,
            timeout=60,
        )

    return run


@pytest.fixture(scope="session")
def image(workspace: Path, buf: Buf) -> FileDescriptorSet:
    """The compiled contract, with comments."""
    built = buf("build", "-o", "image.binpb", cwd=workspace)
    assert built.returncode == 0, built.stderr
    return FileDescriptorSet.FromString((workspace / "image.binpb").read_bytes())
