"""What docs/security.md says of roles and of the log is true."""

from __future__ import annotations

import dataclasses
import http.server
import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc
import httpx
import pytest

from spanloom import app
from spanloom.v1.trace_pb2 import Trace
from spanloom.v1.trace_service_pb2 import CreateTraceRequest
from spanloom.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.servers import LiveServer

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text()
# Stands in everything that is sent.
CONTENT = "Rosebud-4711"


def test_the_roles_are_those_of_the_methods(tmp_path: Path) -> None:
    rows = dict(
        re.findall(r"^\| `(ingest|read|review|admin)` \| ([^|]*) \|$", PAGE, re.MULTILINE)[:4]
    )
    shown = {
        role: set(
            re.findall(
                r"\b(?:[A-Z][a-z]+(?:V\d)?){2,}\b|\bExport\b", methods.replace("OpenTelemetry", "")
            )
        )
        for role, methods in rows.items()
    }
    with LiveServer(database=f"sqlite:///{tmp_path}/spanloom.db", log_level="error") as server:
        table = app.methods(server.running.store)
    for role in ("ingest", "read", "review", "admin"):
        assert shown[role] == {m.descriptor.name for m in table if m.role == role}


@pytest.fixture
def judge() -> Iterator[str]:
    """An endpoint that repeats what it was asked instead of judging, so each evaluation fails."""

    class Parrot(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = self.rfile.read(int(self.headers["content-length"])).decode()
            message = {"role": "assistant", "content": asked.replace("{", "(")}
            choice = {"index": 0, "finish_reason": "stop", "message": message}
            answer = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
            body = json.dumps({**answer, "choices": [choice]}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Parrot)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


@dataclasses.dataclass
class Addresses:
    grpc: str
    http: str
    key: str


def started(process: subprocess.Popen[str]) -> Addresses:
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.match(r"spanloom listens: gRPC (\S+), HTTP (\S+)", line)
    assert found, line
    for line in process.stdout:
        if line.startswith("first key"):
            return Addresses(found[1], found[2], line.split()[-1])
    raise AssertionError("no first key")


@pytest.mark.parametrize("log_format", ["console", "json"])
def test_the_log_has_neither_contents_nor_keys(tmp_path: Path, judge: str, log_format: str) -> None:
    log = tmp_path / "log"
    settings = {
        "DATABASE": f"sqlite:///{tmp_path}/spanloom.db",
        "GRPC_ADDRESS": "127.0.0.1:0",
        "HTTP_ADDRESS": "127.0.0.1:0",
        "WORKERS": "1",
        "LOG_LEVEL": "debug",
        "LOG_FORMAT": log_format,
        "JUDGE_BASE_URL": judge,
        "JUDGE_API_KEY": f"judge-{CONTENT}",
    }
    environ = {f"SPANLOOM_{name}": value for name, value in settings.items()}
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", "spanloom", "serve"],
            env={**os.environ, **environ, "NO_PROXY": "*"},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
    try:
        at = started(process)
        send_all(at)
        end = time.monotonic() + 120
        while b"an evaluator failed" not in log.read_bytes():
            assert time.monotonic() < end
            time.sleep(0.05)
    finally:
        process.terminate()
        process.communicate(timeout=30)
    text = log.read_text()
    assert text.count("CreateTrace") >= 4
    secret = at.key.split("_", 2)[2]
    assert CONTENT not in text
    assert secret not in text
    assert "authorization" not in text.lower()


def send_all(at: Addresses) -> None:
    """Calls that are answered and calls that are refused, each with CONTENT somewhere."""
    bearer = {"authorization": f"Bearer {at.key}"}
    with httpx.Client(base_url=f"http://{at.http}", trust_env=False, timeout=30) as http:
        evaluator = {"slug": "judge", "kind": "relevance"}
        assert http.post("/v1/evaluators", json=evaluator, headers=bearer).status_code == 200
        trace = {
            "id": "known",
            "input": CONTENT,
            "output": CONTENT,
            "evaluators": [{"slug": "judge"}],
            "evaluationConfig": {"sampleRate": 1},
        }
        assert http.post("/monitor/trace", json=trace, headers=bearer).status_code == 200
        for refused in (
            http.post("/monitor/trace", json={"logs": [{"type": CONTENT}]}, headers=bearer),
            http.post("/monitor/trace", content=f'{{"{CONTENT}', headers=bearer),
            http.post("/monitor/trace", json=trace, headers={"authorization": f"Bearer {CONTENT}"}),
            http.get(f"/v1/traces/no-{CONTENT}", headers=bearer),
            http.get(f"/nowhere?key={CONTENT}", headers=bearer),
        ):
            assert 400 <= refused.status_code < 500
    with grpc.insecure_channel(at.grpc) as channel:
        request = CreateTraceRequest(trace=Trace(feature_slug=CONTENT))
        create = TraceServiceStub(channel).CreateTrace
        create(request, metadata=tuple(bearer.items()))
        with pytest.raises(grpc.RpcError):
            create(request, metadata=(("authorization", f"Bearer {CONTENT}"),))
