"""A live endpoint that speaks chat completions and always gives the same verdict."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

VERDICT = {"score": 0.75, "label": "fine", "explanation": "it says so"}


class JudgeEndpoint(ThreadingHTTPServer):
    """`asked` is what it was asked, with `path` and `key`. It answers while `answers` is set, and
    refuses a temperature when it is one of a reasoning model (`reasons`)."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[dict[str, Any]] = []
        self.answers = threading.Event()
        self.answers.set()
        self.reasons = False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    @property
    def asked_by(self) -> set[str]:
        return {request["key"] for request in self.asked}

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that was killed takes no answer."""

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *failure: object) -> None:
        self.answers.set()
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: JudgeEndpoint

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append(
            {"path": self.path, "key": self.headers["authorization"], **request}
        )
        self.server.answers.wait(30)
        message = {"role": "assistant", "content": f"Well: {json.dumps(VERDICT)}"}
        answer = {
            "id": "1",
            "object": "chat.completion",
            "created": 1,
            "model": request["model"],
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
        }
        refused = self.server.reasons and "temperature" in request
        data = json.dumps({"error": {"message": "no temperature"}} if refused else answer).encode()
        self.send_response(400 if refused else 200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        pass
