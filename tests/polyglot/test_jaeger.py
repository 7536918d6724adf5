"""The types of Jaeger itself read the answers of Jaeger's query API."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.otlp.requests import START, TRACE_ID, request
from tests.servers import LiveServer
from tests.toolchains import need

pytestmark = pytest.mark.polyglot

PROGRAM = Path(__file__).parent / "jaeger" / "main.go"
MODULE = "github.com/jaegertracing/jaeger@v1.62.0"  # the last that has its types in public


def test_the_types_of_jaeger_read_the_answers(live: LiveServer, tmp_path: Path) -> None:
    need("go")
    shutil.copy(PROGRAM, tmp_path)
    for command in (
        ("go", "mod", "init", "jaeger.test"),
        ("go", "get", MODULE),
        ("go", "build", "-o", "read", "."),
    ):
        subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=600)
    base = f"http://{live.running.http_address}"
    sent = request({"id": 1, "name": "ask"}, {"id": 2, "parent": 1, "name": "chat"})
    headers = {
        "content-type": "application/x-protobuf",
        "authorization": f"Bearer {live.key('types', 'ingest')}",
    }
    answer = httpx.post(f"{base}/v1/traces", content=sent.SerializeToString(), headers=headers)
    answer.raise_for_status()
    read = (str(tmp_path / "read"), base, live.key("types", "read"), TRACE_ID)
    done = subprocess.run(read, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    us = START // 1000
    assert done.stdout.splitlines() == [
        "[bot types]",
        "[{ask } {chat }]",
        f"{TRACE_ID} ask {us} 1000000",
        f"{TRACE_ID} chat {us} 1000000",
    ]
