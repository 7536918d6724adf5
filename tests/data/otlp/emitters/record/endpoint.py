"""A stand-in for the APIs of OpenAI, Anthropic and Gemini, and a recorder of what is exported.

    python endpoint.py PORT DIRECTORY

It answers in two turns: a call of the tool that the request offers, then the answer that uses the
result. Each OTLP request is a file of the directory: its number, its signal, and `pb` or `json`.
"""

from __future__ import annotations

import gzip
import json
import re
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any

ANSWER = "It is 18C and rainy in Paris."
THOUGHT = "The user asks for the weather, so I look it up."
_SHELL = "echo 18C, rain in Paris"
# Which tool is called, with which arguments: the first one that the request offers.
CALLS: dict[str, Any] = {
    "get_weather": {"city": "Paris"},
    "getWeather": {"city": "Paris"},
    "Bash": {"command": _SHELL, "description": "Print the weather"},
    "run_shell_command": {"command": _SHELL, "description": "Print the weather"},
    "exec_command": {"cmd": _SHELL},
    "shell_command": {"command": _SHELL},
    "shell": {"command": ["bash", "-lc", _SHELL]},
}
LAST = {"final_answer": {"answer": ANSWER}}
FIRST_USAGE, SECOND_USAGE = (40, 12, 16, 4), (60, 20, 32, 0)

numbers = count(1)
Event = tuple[str, dict[str, Any]]


def step(names: list[str], has_result: bool) -> tuple[str, Any] | None:
    """The call to answer with, None for the answer itself."""
    table = LAST if has_result else CALLS
    return next(
        ((name, table[key]) for key in table for name in names if name.endswith(key)),
        None,
    )


def chat_completion(body: dict[str, Any]) -> dict[str, Any]:
    messages = body["messages"]
    asked = max(i for i, m in enumerate(messages) if m["role"] == "user")
    has_result = any(m["role"] == "tool" for m in messages) or "Observation" in str(messages[asked])
    call = step([t["function"]["name"] for t in body.get("tools") or []], has_result)
    number = next(numbers)
    message: dict[str, Any] = {"role": "assistant", "content": None if call else ANSWER}
    if call:
        function = {"name": call[0], "arguments": json.dumps(call[1])}
        if not has_result:
            message["reasoning_content"] = THOUGHT
        message["tool_calls"] = [
            {"id": f"call_{number:04}", "type": "function", "function": function}
        ]
    given, made, cached, thought = SECOND_USAGE if has_result else FIRST_USAGE
    return {
        "id": f"chatcmpl-{number:04}",
        "object": "chat.completion",
        "created": 1790000000,
        "model": body["model"],
        "choices": [
            {"index": 0, "message": message, "finish_reason": "tool_calls" if call else "stop"}
        ],
        "usage": {
            "prompt_tokens": given,
            "completion_tokens": made,
            "total_tokens": given + made,
            "prompt_tokens_details": {"cached_tokens": cached},
            "completion_tokens_details": {"reasoning_tokens": thought},
        },
    }


def chat_chunks(whole: dict[str, Any]) -> Iterator[Event]:
    [choice] = whole["choices"]
    shared = {**whole, "object": "chat.completion.chunk", "usage": None}
    message = dict(choice["message"])
    if calls := message.get("tool_calls"):
        message["tool_calls"] = [{"index": i, **call} for i, call in enumerate(calls)]
    for delta, reason in ((message, None), ({}, choice["finish_reason"])):
        yield "", {**shared, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]}
    yield "", {**shared, "choices": [], "usage": whole["usage"]}


def response(body: dict[str, Any]) -> dict[str, Any]:
    items = body["input"] if isinstance(body["input"], list) else []
    has_result = any(str(i.get("type", "")).endswith("_call_output") for i in items)
    names = [t.get("name", t["type"]) for t in body.get("tools") or []]
    call = step(names, has_result)
    number = next(numbers)
    output: list[dict[str, Any]] = []
    if call:
        summary = [{"type": "summary_text", "text": THOUGHT}]
        output = [
            {"type": "reasoning", "id": f"rs_{number:04}", "summary": summary},
            {
                "type": "function_call",
                "id": f"fc_{number:04}",
                "call_id": f"call_{number:04}",
                "name": call[0],
                "arguments": json.dumps(call[1]),
                "status": "completed",
            },
        ]
    else:
        said = {"type": "output_text", "text": ANSWER, "annotations": []}
        output = [
            {
                "type": "message",
                "id": f"msg_{number:04}",
                "role": "assistant",
                "status": "completed",
                "content": [said],
            }
        ]
    given, made, cached, thought = SECOND_USAGE if has_result else FIRST_USAGE
    return {
        "id": f"resp_{number:04}",
        "object": "response",
        "created_at": 1790000000,
        "status": "completed",
        "model": body["model"],
        "output": output,
        "parallel_tool_calls": False,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": given,
            "input_tokens_details": {"cached_tokens": cached},
            "output_tokens": made,
            "output_tokens_details": {"reasoning_tokens": thought},
            "total_tokens": given + made,
        },
    }


def response_events(whole: dict[str, Any]) -> Iterator[Event]:
    told: list[tuple[str, dict[str, Any]]] = [
        ("response.created", {"response": {**whole, "status": "in_progress", "output": []}})
    ]
    for index, item in enumerate(whole["output"]):
        at = {"output_index": index, "item_id": item["id"]}
        told.append(("response.output_item.added", {**at, "item": item}))
        if item["type"] == "message":
            told.append(("response.output_text.delta", {**at, "content_index": 0, "delta": ANSWER}))
        told.append(("response.output_item.done", {**at, "item": item}))
    told.append(("response.completed", {"response": whole}))
    for number, (kind, fields) in enumerate(told):
        yield kind, {"type": kind, "sequence_number": number, **fields}


def anthropic_message(body: dict[str, Any]) -> dict[str, Any]:
    blocks = [b for m in body["messages"] if isinstance(m["content"], list) for b in m["content"]]
    has_result = any(block.get("type") == "tool_result" for block in blocks)
    call = step([t["name"] for t in body.get("tools") or []], has_result)
    number = next(numbers)
    content: list[dict[str, Any]] = [{"type": "text", "text": ANSWER}]
    if call:
        use = {"type": "tool_use", "id": f"toolu_{number:04}", "name": call[0], "input": call[1]}
        content = [{"type": "thinking", "thinking": THOUGHT, "signature": "c2ln"}, use]
    given, made, cached, _ = SECOND_USAGE if has_result else FIRST_USAGE
    return {
        "id": f"msg_{number:04}",
        "type": "message",
        "role": "assistant",
        "model": body["model"],
        "content": content,
        "stop_reason": "tool_use" if call else "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": given - cached,
            "cache_read_input_tokens": cached,
            "cache_creation_input_tokens": 0,
            "output_tokens": made,
        },
    }


def anthropic_events(whole: dict[str, Any]) -> Iterator[Event]:
    start = {**whole, "content": [], "stop_reason": None}
    told: list[tuple[str, dict[str, Any]]] = [("message_start", {"message": start})]
    for index, block in enumerate(whole["content"]):
        deltas: list[dict[str, Any]]
        match block["type"]:
            case "text":
                empty, deltas = {**block, "text": ""}, [{"type": "text_delta", "text": ANSWER}]
            case "thinking":
                empty = {**block, "thinking": "", "signature": ""}
                deltas = [
                    {"type": "thinking_delta", "thinking": THOUGHT},
                    {"type": "signature_delta", "signature": block["signature"]},
                ]
            case _:
                part = json.dumps(block["input"])
                empty = {**block, "input": {}}
                deltas = [{"type": "input_json_delta", "partial_json": part}]
        told.append(("content_block_start", {"index": index, "content_block": empty}))
        told += [("content_block_delta", {"index": index, "delta": delta}) for delta in deltas]
        told.append(("content_block_stop", {"index": index}))
    ended = {"stop_reason": whole["stop_reason"], "stop_sequence": None}
    told.append(("message_delta", {"delta": ended, "usage": whole["usage"]}))
    told.append(("message_stop", {}))
    for kind, fields in told:
        yield kind, {"type": kind, **fields}


def gemini_response(body: dict[str, Any], model: str) -> dict[str, Any]:
    parts = [part for content in body["contents"] for part in content.get("parts", ())]
    has_result = any("functionResponse" in part for part in parts)
    tools = [
        declared["name"]
        for tool in body.get("tools") or []
        for declared in tool.get("functionDeclarations", ())
    ]
    call = step(tools, has_result)
    said: list[dict[str, Any]] = [{"text": ANSWER}]
    if call:
        function = {"name": call[0], "args": call[1]}
        said = [{"text": THOUGHT, "thought": True}, {"functionCall": function}]
    given, made, cached, thought = SECOND_USAGE if has_result else FIRST_USAGE
    return {
        "candidates": [
            {"content": {"role": "model", "parts": said}, "finishReason": "STOP", "index": 0}
        ],
        "modelVersion": model,
        "responseId": f"resp{next(numbers):04}",
        "usageMetadata": {
            "promptTokenCount": given,
            "candidatesTokenCount": made - thought,
            "thoughtsTokenCount": thought,
            "cachedContentTokenCount": cached,
            "totalTokenCount": given + made,
        },
    }


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    directory = Path()

    def do_GET(self) -> None:
        self._answer({"object": "list", "data": [], "models": []})

    def do_POST(self) -> None:
        body = self._body()
        path = self.path.partition("?")[0]
        if signal := re.search(r"/v1/(traces|logs|metrics)/?$", path):
            self._record(signal[1], body)
            self._answer({})
            return
        try:
            given = json.loads(body or b"{}")
        except ValueError:
            given = {}
        if not isinstance(given, dict):
            given = {}
        self._keep("model" if "model" in given or "contents" in given else "other", "txt", body)
        streamed = bool(given.get("stream"))
        if path.endswith("/chat/completions"):
            whole = chat_completion(given)
            events = chat_chunks(whole)
        elif path.endswith("/responses"):
            whole = response(given)
            events = response_events(whole)
        elif path.endswith("/messages"):
            whole = anthropic_message(given)
            events = anthropic_events(whole)
        elif found := re.search(r"/models/([^/:]+):(\w+)$", path):
            whole = gemini_response(given, found[1])
            if found[2] == "countTokens":
                whole = {"totalTokens": 40}
            events = iter([("", whole)])
            streamed = found[2].startswith("stream")
        else:
            self._answer({"token": "token", "project_id": "p", "api_url": "", "status": "ok"})
            return
        if streamed:
            self._stream(events, done=path.endswith("/chat/completions"))
        else:
            self._answer(whole)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body

    def _record(self, signal: str, body: bytes) -> None:
        is_json = "json" in self.headers.get("Content-Type", "")
        self._keep(signal, "json" if is_json else "pb", body)

    def _keep(self, what: str, kind: str, body: bytes) -> None:
        number = len(list(self.directory.iterdir())) + 1
        (self.directory / f"{number:03}.{what}.{kind}").write_bytes(body)

    def _answer(self, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, events: Iterator[Event], *, done: bool) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        for kind, fields in events:
            head = f"event: {kind}\n" if kind else ""
            self.wfile.write(f"{head}data: {json.dumps(fields)}\n\n".encode())
        if done:
            self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def log_message(self, format: str, *args: Any) -> None:
        sys.stderr.write(f"{self.command} {self.path}\n")


if __name__ == "__main__":
    Handler.directory = Path(sys.argv[2])
    Handler.directory.mkdir(parents=True, exist_ok=True)
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
