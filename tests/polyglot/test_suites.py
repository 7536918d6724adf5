"""Suites of others that try the server: the conformance suites of Connect and of the Model Context
Protocol, and Schemathesis."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance.__main__ import main as conformance
from tests.servers import LiveServer
from tests.toolchains import need

pytestmark = pytest.mark.polyglot

# What Schemathesis checks and the server does on purpose (docs/openapi.md): requests may deviate
# from their schemas, the comments of fields say more than the schemas do, and a path that two
# templates match allows the methods of both.
LEFT_OUT = "negative_data_rejection,positive_data_acceptance,allow_header_conformance"
# Streams that do not end, and one whose lines no generator knows how to write.
STREAMS = ":tail$|:import$"
SECONDS = 90
# The suite needs a Node of its own, newer than that of many machines.
MCP_SUITE = ("@modelcontextprotocol/conformance@0.1.16", "node@22.23.3")
MCP_FAILURES = Path(__file__).with_name("mcp_expected_failures.yaml")
MCP_PASSED = ("server-initialize", "ping", "tools-list", "dns-rebinding-protection")


def test_connect_as_its_conformance_suite_knows_it() -> None:
    need("go")
    assert conformance([]) == 0


def test_mcp_as_its_conformance_suite_knows_it(tmp_path: Path) -> None:
    need("node")
    (tmp_path / "package.json").write_text("{}")
    installed = subprocess.run(
        ["npm", "install", "--no-audit", "--no-fund", *MCP_SUITE],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert installed.returncode == 0, installed.stderr[-2_000:]
    # The suite sends no key.
    database = f"sqlite:///{tmp_path}/spanloom.db"
    with LiveServer(database=database, no_auth=True, log_level="error") as server:
        done = subprocess.run(
            [
                tmp_path / "node_modules" / ".bin" / "node",
                "node_modules/@modelcontextprotocol/conformance/dist/index.js",
                *("server", "--url", f"http://{server.running.http_address}/mcp"),
                *("--suite", "all", "--expected-failures", MCP_FAILURES),
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert done.returncode == 0, done.stdout[-4_000:] + done.stderr[-2_000:]
    for scenario in MCP_PASSED:
        assert re.search(rf"^✓ {scenario}: [1-9]\d* passed, 0 failed$", done.stdout, re.MULTILINE)


def test_schemathesis_finds_nothing(live: LiveServer, tmp_path: Path) -> None:
    if importlib.util.find_spec("schemathesis") is None:
        pytest.skip("schemathesis is not installed")
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run"),
            f"http://{live.running.http_address}/openapi.json",
            *("--header", f"Authorization: Bearer {live.key('schemathesis')}"),
            *("--checks", "all", "--exclude-checks", LEFT_OUT, "--exclude-path-regex", STREAMS),
            *("--phases", "examples,coverage,fuzzing", "--max-examples", "5", "--seed", "20261128"),
            *("--max-time", str(SECONDS), "--request-timeout", "30", "--warnings", "off"),
        ],
        cwd=tmp_path,  # where it keeps what it found
        capture_output=True,
        text=True,
        timeout=4 * SECONDS,
    )
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
