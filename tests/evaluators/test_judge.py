"""Judges against a live endpoint that speaks chat completions."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from spanloom.evaluators import judge
from spanloom.evaluators.subject import Result, Subject

SUBJECT = Subject(input="Capital of France?", output="Paris", context=["France: Paris"])


class Endpoint(BaseHTTPRequestHandler):
    asked: list[dict[str, Any]]

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.asked.append({"path": self.path, "key": self.headers["authorization"], **request})
        verdict = {"score": 0.75, "label": "fine", "explanation": "it says so"}
        answer = {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": request["model"],
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": f"Well: {json.dumps(verdict)}"},
                }
            ],
        }
        data = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def asked() -> Iterator[list[dict[str, Any]]]:
    """What the endpoint is asked, while judges are on."""
    Endpoint.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        judge.configure(f"http://127.0.0.1:{server.server_port}/v1", "secret", "small")
        yield Endpoint.asked
        judge.configure("", "", "")
        server.shutdown()


@pytest.mark.parametrize("name", ["hallucination", "relevance", "faithfulness", "custom_prompt"])
def test_a_judge_asks_the_endpoint(asked: list[dict[str, Any]], name: str) -> None:
    settings = {"prompt": "Is {{output}} right for {{ input }}?", "model": "large"}
    if name != "custom_prompt":
        settings = {}
    result = asyncio.run(getattr(judge, name)(SUBJECT, settings))
    assert result == Result(0.75, "fine", "it says so")
    request = asked[0]
    assert (request["path"], request["key"]) == ("/v1/chat/completions", "Bearer secret")
    assert request["model"] == ("large" if settings else "small")
    material = request["messages"][1]["content"]
    if settings:
        assert material == "Is Paris right for Capital of France??"
    else:
        assert "<context>\nFrance: Paris\n</context>" in material


def test_faithfulness_needs_a_context(asked: list[dict[str, Any]]) -> None:
    result = asyncio.run(judge.faithfulness(Subject(output="x"), {}))
    assert result.label == "not_applicable"
    assert not asked
