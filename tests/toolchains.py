"""Toolchains of other languages, which a machine may not have."""

from __future__ import annotations

import shutil
import subprocess
import sys
from functools import cache

import pytest

# Each asks the toolchain's registry, if it has one, for a package that the tests need.
PROBES = {
    "go": ("go", "list", "-m", "google.golang.org/protobuf@v1.36.12"),
    "node": ("npm", "view", "@bufbuild/protobuf@2.17.0", "version"),
    "java": ("mvn", "--quiet", "dependency:get", "-Dartifact=io.grpc:grpc-bom:1.85.1:pom"),
    "rust": ("cargo", "info", "--quiet", "tonic@0.14.9"),
    "jq": ("jq", "--version"),
    "python": (sys.executable, "-m", "pip", "index", "versions", "grpcio-tools"),
}


@cache
def _missing(toolchain: str) -> str:
    """Why a toolchain cannot be used; empty if it can."""
    program, *_ = command = PROBES[toolchain]
    if shutil.which(program) is None:
        return f"{program} is not installed"
    try:
        done = subprocess.run(command, cwd="/", capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        return f"{program} does not end"
    said = (done.stderr or done.stdout).strip().splitlines()
    return f"{program} cannot be used: {said[-1:]}" if done.returncode else ""


def need(toolchain: str) -> None:
    """Skips a test whose toolchain is missing, or whose registry cannot be reached."""
    if reason := _missing(toolchain):
        pytest.skip(reason)
