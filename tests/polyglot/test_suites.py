"""Suites of others that try the server: Connect's conformance suite, and Schemathesis."""

from __future__ import annotations

import importlib.util
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


def test_connect_as_its_conformance_suite_knows_it() -> None:
    need("go")
    assert conformance([]) == 0


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
