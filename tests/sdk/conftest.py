"""Real SDKs, unmodified, each in a virtual environment of its own under build/, which later runs
find again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.toolchains import need

ROOT = Path(__file__).resolve().parents[2]
SCRIPTS = Path(__file__).parent / "scripts"

# Runs a script with an SDK installed; gives the JSON that the script printed.
RunScript = Callable[..., Any]


def _python_with(requirement: str) -> Path:
    """The Python of a virtual environment that has the requirement."""
    home = ROOT / "build" / "sdk" / f"{requirement.replace('==', '-')}-py{sys.version_info.minor}"
    python, done = home / "bin" / "python", home / "installed"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(home)], check=True)
        # uv, for pip tries versions of the old SDK's dependencies for minutes.
        install = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--python", str(python)]
        subprocess.run([*install, requirement], check=True, timeout=600)
        done.touch()
    return python


def _node_modules_with(package: str) -> Path:
    """The node_modules of a directory that has the package from npm."""
    home = ROOT / "build" / "sdk" / f"{package.replace('@', '-')}-node"
    done = home / "installed"
    if not done.exists():
        need("node")
        home.mkdir(parents=True, exist_ok=True)
        install = ["npm", "install", "--prefix", str(home), "--no-audit", "--no-fund", package]
        subprocess.run(install, check=True, capture_output=True, timeout=600)
        done.touch()
    return home / "node_modules"


def _run(command: list[str], script: str, *arguments: str, **variables: str) -> Any:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HH_", "PYTHON", "OTEL"))}
    ran = subprocess.run(
        [*command, str(SCRIPTS / script), *arguments],
        env={**kept, "NO_PROXY": "127.0.0.1", **variables},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-4000:]
    return json.loads(ran.stdout.splitlines()[-1])


@pytest.fixture(scope="session")
def run_script() -> RunScript:
    def run(requirement: str, script: str, *arguments: str, **variables: str) -> Any:
        return _run([str(_python_with(requirement))], script, *arguments, **variables)

    return run


@pytest.fixture(scope="session")
def run_node() -> RunScript:
    """As `run_script`, of a package of npm."""

    def run(package: str, script: str, *arguments: str, **variables: str) -> Any:
        modules = _node_modules_with(package)
        return _run(["node"], script, *arguments, NODE_PATH=str(modules), **variables)

    return run
