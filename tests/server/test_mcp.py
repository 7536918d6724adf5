"""`/mcp`: the official client of both generations of the protocol, and what no client sends."""

from __future__ import annotations

import asyncio
import json
import re
import socket
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import httpx
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from spanloom.server.mcp import answer, endpoint, protocol
from spanloom.server.mcp.answer import MOST_CHARACTERS, Answer, block, code
from spanloom.server.mcp.arguments import Argument, ArgumentError, checked_arguments, schema_of
from spanloom.server.mcp.tools import TOOLS
from tests.servers import LiveServer

MODERN = {
    "io.modelcontextprotocol/protocolVersion": protocol.VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
}
ANSWER = "It is fine ``` and sunny"


def span(number: int, **fields: Any) -> dict[str, Any]:
    return {
        "traceId": "t-1",
        "spanId": f"s-{number}",
        "parentSpanId": "s-0" if number else "",
        "name": f"step {number}",
        "kind": "SPAN_KIND_STEP",
        "startTime": f"2026-01-02T03:04:{number:02}Z",
        "endTime": f"2026-01-02T03:05:{number:02}Z",
        **fields,
    }


SPANS = [
    span(0, name="trip", kind="SPAN_KIND_AGENT", agent={"name": "planner"}, conversationId="c-1"),
    span(
        1,
        kind="SPAN_KIND_MODEL",
        model={"requestModel": "gpt-4o", "inputTokens": "12", "outputTokens": "3"},
        inputMessages=[{"role": "user", "parts": [{"text": "How is the weather in Graz?"}]}],
        outputMessages=[{"role": "assistant", "parts": [{"text": ANSWER}]}],
    ),
    span(
        2,
        name="get_weather",
        kind="SPAN_KIND_TOOL",
        tool={"name": "get_weather"},
        input={"city": "Graz"},
        output="x" * 30_000,
        status={"code": "STATUS_CODE_ERROR", "message": "too late"},
    ),
    *(span(number, name="poll") for number in range(3, 23)),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    database = f"sqlite:///{tmp_path_factory.mktemp('mcp')}/spanloom.db"
    with LiveServer(database=database, log_level="error") as live:
        written = httpx.post(
            f"http://{live.running.http_address}/v1/spans:write",
            json={"spans": SPANS},
            headers={"authorization": f"Bearer {live.key('app', 'ingest')}"},
            trust_env=False,
        )
        assert written.status_code == 200, written.text
        yield live


@pytest.fixture(scope="module")
def key(server: LiveServer) -> str:
    return server.key("app", "read")


def url(server: LiveServer) -> str:
    return f"http://{server.running.http_address}/mcp"


def with_client(
    server: LiveServer,
    key: str,
    work: Callable[[Client], Coroutine[Any, Any, Any]],
    mode: Any = "auto",
) -> Any:
    async def run() -> Any:
        headers = {"authorization": f"Bearer {key}"}
        async with (
            httpx2.AsyncClient(headers=headers, trust_env=False) as http,
            Client(streamable_http_client(url(server), http_client=http), mode=mode) as client,
        ):
            return await work(client)

    return asyncio.run(run())


def call(server: LiveServer, key: str, tool: str, **arguments: Any) -> str:
    """The text that a tool answers."""

    async def work(client: Client) -> Any:
        return await client.call_tool(tool, arguments)

    result = with_client(server, key, work)
    assert not result.is_error, result.content
    return str(result.content[0].text)


def post(
    server: LiveServer, body: Any, key: str = "", **headers: str
) -> tuple[int, dict[str, Any], httpx.Headers]:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    if key:
        given["authorization"] = f"Bearer {key}"
    sent = body if isinstance(body, bytes) else json.dumps(body).encode()
    answered = httpx.post(url(server), content=sent, headers=given, trust_env=False)
    return answered.status_code, json.loads(answered.content or b"{}"), answered.headers


def request(method: str, **params: Any) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": 7, "method": method, "params": params}


@pytest.mark.parametrize("mode", ["auto", "legacy", protocol.VERSION])
def test_the_official_client_lists_and_calls_tools(server: LiveServer, key: str, mode: str) -> None:
    async def work(client: Client) -> Any:
        tools = (await client.list_tools()).tools
        found = await client.call_tool("find_traces", {"text": "weather in Graz"})
        wrong = await client.call_tool("find_traces", {"txet": "a"})
        return client.protocol_version, tools, found, wrong

    version, tools, found, wrong = with_client(server, key, work, mode)
    assert version == (protocol.EARLIER_VERSIONS[0] if mode == "legacy" else protocol.VERSION)
    assert [tool.name for tool in tools] == list(TOOLS)
    assert all(tool.annotations.read_only_hint for tool in tools)
    assert "`t-1`" in found.content[0].text
    assert found.structured_content is None
    assert wrong.is_error
    assert wrong.content[0].text == "there is no argument `txet`: did you mean `text`?"


def test_a_trace_is_found_by_what_it_is(server: LiveServer, key: str) -> None:
    text = call(
        server, key, "find_traces", has_error=True, agent_name="planner", since="2026-01-01"
    )
    assert "2026-01-02T03:04:00Z" in text
    assert "**1 failed**" in text
    assert "12 tokens in, 3 out" in text
    assert f"http://{server.running.http_address}/ui/p/app/traces" in text
    assert "No trace meets" in call(server, key, "find_traces", min_cost_usd=1000)


def test_a_trace_is_read_as_a_tree_with_equal_spans_on_one_line(
    server: LiveServer, key: str
) -> None:
    text = call(server, key, "read_trace", trace_id="t-1")
    assert "1 failed:\n- tool `get_weather` · **error** · 60.00 s · `s-2`" in text
    tree = text.partition("Spans, in the order of their starts:\n")[2].splitlines()
    assert tree[0] == "- agent `trip` · 60.00 s · agent planner · `s-0`"
    assert tree[1].startswith("  - model `step 1` · 60.00 s · gpt-4o · 12 tokens in, 3 out")
    assert tree[3:6] == [
        "  - step `poll` · 60.00 s · `s-3`",
        "  - step `poll` · 60.00 s · `s-4`",
        "  - … 18 more like it, `s-5` to `s-22`",
    ]
    assert "/ui/p/app/traces/t-1" in text
    only = call(server, key, "read_trace", trace_id="t-1", only="models")
    assert "`s-1`" in only
    assert "poll" not in only
    later = call(server, key, "read_trace", trace_id="t-1", from_line=6)
    assert "18 more like it" in later
    assert "`trip` · 60.00 s · agent planner" not in later.partition("starts:")[2]


def test_a_chat_is_read_with_texts_that_cannot_leave_their_block(
    server: LiveServer, key: str
) -> None:
    text = call(server, key, "read_chat", conversation_id="c-1")
    assert "How is the weather in Graz?" in text
    assert f"````\n{ANSWER}\n````" in text
    assert re.search(r"\*\*error\*\* too late · `s-2`", text)
    assert "…" in text  # the long result is cut
    assert len(text) < 3_000
    later = call(server, key, "read_chat", trace_id="t-1", from_message=99)
    assert re.search(r"There are \d messages", later)


def test_a_span_is_read_whole_in_parts(server: LiveServer, key: str) -> None:
    text = call(server, key, "read_span", trace_id="t-1", span_id="s-2")
    assert '"city": "Graz"' in text
    [path] = re.findall(r"- `([^`]+)` has 30000 characters", text)
    first = call(server, key, "read_span", trace_id="t-1", span_id="s-2", path=path)
    assert "Characters 0 to 20000 of 30000. Read on with `offset` 20000." in first
    rest = call(server, key, "read_span", trace_id="t-1", span_id="s-2", path=path, offset=20_000)
    assert rest.count("x") == 10_000
    assert "Characters 20000 to 30000 of 30000." in rest


def test_a_message_is_found_by_its_words(server: LiveServer, key: str) -> None:
    text = call(server, key, "search_messages", text="weather in graz", role="user")
    assert "**user**" in text
    assert "trace `t-1`, span `s-1`" in text
    assert "No message contains" in call(server, key, "search_messages", text="nobody said this")


def test_a_failed_call_is_told_as_a_failed_tool(server: LiveServer, key: str) -> None:
    async def work(client: Client) -> Any:
        return [
            await client.call_tool("read_trace", {"trace_id": "none"}),
            await client.call_tool("read_chat", {}),
            await client.call_tool("find_traces", {"cursor": "broken"}),
        ]

    for result in with_client(server, key, work):
        assert result.is_error
        assert result.content[0].text


@pytest.mark.parametrize("role", ["none", "ingest"])
@pytest.mark.parametrize("method", ["initialize", "tools/list", "tools/call"])
def test_only_keys_that_may_read_may_call(server: LiveServer, role: str, method: str) -> None:
    key = "" if role == "none" else server.key("app", role)
    params = {"name": "read_trace", "arguments": {"trace_id": "t-1"}}
    status, body, headers = post(server, request(method, **params), key)
    assert status == (401 if role == "none" else 403)
    assert body["id"] is None  # the body is not read before the key is known
    assert body["error"]["code"] == protocol.NOT_ALLOWED
    assert ("www-authenticate" in headers) == (role == "none")
    assert "get_weather" not in json.dumps(body)


def test_a_body_is_not_read_before_the_key_is_known(server: LiveServer) -> None:
    for path in ("/mcp", "/files/upload/guessed"):
        method = "POST" if path == "/mcp" else "PUT"
        head = (
            f"{method} {path} HTTP/1.1\r\nhost: {server.running.http_address}\r\n"
            "content-type: image/png\r\ncontent-length: 1000000\r\n\r\n"
        )
        host, _, port = server.running.http_address.partition(":")
        with socket.create_connection((host, int(port)), timeout=20) as connection:
            connection.sendall(head.encode())  # and nothing of the body
            status = connection.recv(100).split(b" ")[1]
        assert status == (b"401" if path == "/mcp" else b"404")


def test_a_key_of_another_project_reads_nothing(server: LiveServer) -> None:
    assert "No trace meets" in call(server, server.key("other", "read"), "find_traces")


def test_a_page_of_another_site_may_not_call(server: LiveServer, key: str) -> None:
    body = request("tools/list")
    status, answered, _ = post(server, body, key, origin="https://evil.example")
    assert status == 403
    assert "evil.example" in answered["error"]["message"]
    status, answered, _ = post(server, body, key, host="evil.example")
    assert status == 403
    status, answered, _ = post(server, body, key, origin=url(server).removesuffix("/mcp"))
    assert status == 200
    assert len(answered["result"]["tools"]) == len(TOOLS)


@pytest.mark.parametrize("method", ["GET", "DELETE", "PUT"])
def test_only_post_is_served(server: LiveServer, method: str) -> None:
    answered = httpx.request(method, url(server), trust_env=False)
    assert answered.status_code == 405
    assert "POST" in answered.headers["allow"]


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        (b"{", 400, protocol.PARSE_ERROR),
        (b"[]", 400, protocol.INVALID_REQUEST),
        ({"jsonrpc": "1.0", "id": 7, "method": "ping"}, 400, protocol.INVALID_REQUEST),
        ({"jsonrpc": "2.0", "id": None, "method": "ping"}, 400, protocol.INVALID_REQUEST),
        ({"jsonrpc": "2.0", "id": True, "method": "ping"}, 400, protocol.INVALID_REQUEST),
        ({**request("ping"), "params": []}, 400, protocol.INVALID_PARAMS),
        (request("nowhere"), 404, protocol.METHOD_NOT_FOUND),
        (request("tools/call", name="find_trace"), 400, protocol.INVALID_PARAMS),
        (request("tools/call", name=["a"]), 400, protocol.INVALID_PARAMS),
        (request("server/discover"), 400, protocol.INVALID_PARAMS),
        (request("server/discover", _meta=MODERN), 400, protocol.HEADER_MISMATCH),
    ],
)
def test_what_is_no_request_is_refused(
    server: LiveServer, key: str, body: Any, status: int, error: int
) -> None:
    got, answered, headers = post(server, body, key)
    assert (got, answered["error"]["code"]) == (status, error)
    assert answered["id"] in (7, None)
    assert headers["x-request-id"]


def test_headers_must_say_what_the_body_says(server: LiveServer, key: str) -> None:
    body = request("tools/call", name="find_traces", _meta=MODERN)
    agreed = {"mcp_protocol_version": protocol.VERSION, "mcp_method": "tools/call"}
    assert post(server, body, key, **agreed, mcp_name="find_traces")[0] == 200
    encoded = "=?base64?ZmluZF90cmFjZXM=?="
    assert post(server, body, key, **agreed, mcp_name=encoded)[0] == 200
    for wrong in ({}, {"mcp_name": "read_span"}, {"mcp_name": "=?base64?###?="}):
        status, answered, _ = post(server, body, key, **agreed, **wrong)
        assert (status, answered["error"]["code"]) == (400, protocol.HEADER_MISMATCH)
    future = {**MODERN, "io.modelcontextprotocol/protocolVersion": "2030-01-01"}
    status, answered, _ = post(
        server,
        request("tools/list", _meta=future),
        key,
        mcp_protocol_version="2030-01-01",
        mcp_method="tools/list",
    )
    assert (status, answered["error"]["code"]) == (400, protocol.UNSUPPORTED_VERSION)
    assert protocol.VERSION in answered["error"]["data"]["supported"]


def test_notifications_and_answers_are_taken(server: LiveServer, key: str) -> None:
    for body in (
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {"jsonrpc": "2.0", "id": 1, "result": {}},
    ):
        status, answered, _ = post(server, body, key)
        assert (status, answered) == (202, {})


def test_a_large_body_is_refused(server: LiveServer, key: str) -> None:
    status, answered, _ = post(server, b" " * (2 << 20), key)
    assert status == 413
    assert answered["error"]["data"]["reason"] == "REQUEST_TOO_LARGE"


def test_an_unknown_failure_tells_no_cause(
    server: LiveServer, key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("secret cause")

    monkeypatch.setattr(endpoint, "_told", fail)
    body = request("tools/call", name="find_traces", arguments={})
    status, answered, headers = post(server, body, key)
    assert status == 500
    assert headers["x-request-id"] in answered["error"]["message"]
    assert "secret" not in json.dumps(answered)


@given(st.text(), st.text())
def test_code_and_blocks_hold_any_text(before: str, text: str) -> None:
    for quoted in (code(f"{before}`{text}"), block(f"{before}```{text}")):
        fence = re.match(r"`+", quoted)
        assert fence
        assert quoted.count(fence[0]) == 2 or fence[0] not in quoted[len(fence[0]) : -len(fence[0])]


@given(st.lists(st.text(max_size=9_000)))
def test_an_answer_has_a_largest_size(texts: list[str]) -> None:
    made = Answer()
    kept = [text for text in texts if made.add(text)]
    whole = made.end("last", "x" * 5_000)
    assert len(whole) <= MOST_CHARACTERS
    assert all(text in whole for text in kept)
    assert answer.line("a\n" * 500) == f"{('a ' * 80)[:160]}…"


ARGUMENTS = (
    Argument("text", "string", "", required=True),
    Argument("number", "integer", "", least=1, most=5),
    Argument("order", "string", "", words=("a", "b")),
    Argument("when", "time", ""),
    Argument("flag", "boolean", ""),
    Argument("share", "number", ""),
    Argument("names", "strings", ""),
)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"text": 5}, "`text` must be a string"),
        ({}, "`text` is required"),
        ({"text": None}, "`text` is required"),
        ({"text": "", "number": 0}, "`number` must be at least 1"),
        ({"text": "", "number": 6}, "`number` must be at most 5"),
        ({"text": "", "number": True}, "`number` must be an integer"),
        ({"text": "", "order": "c"}, "`order` must be one of a, b"),
        ({"text": "", "when": "soon"}, "`when` must be a time"),
        ({"text": "", "flag": 1}, "`flag` must be true or false"),
        ({"text": "", "share": "1"}, "`share` must be a number"),
        ({"text": "", "names": ["a", 1]}, "`names` must be a list of strings"),
        ([], "the arguments must be an object"),
    ],
)
def test_wrong_arguments_are_named(wrong: Any, said: str) -> None:
    with pytest.raises(ArgumentError, match=re.escape(said)):
        checked_arguments(ARGUMENTS, wrong)


def test_a_time_is_read_as_people_write_it() -> None:
    def read(text: str) -> int:
        return int(checked_arguments(ARGUMENTS, {"text": "", "when": text})["when"].seconds)

    assert read("999999w") == read("1960-01-01") == 0
    assert read("2026-01-31T12:00Z") == read("2026-01-31T12:00") == 1769860800
    assert read("2026-01-31T13:00+01:00") == 1769860800


def test_schemas_say_what_is_checked() -> None:
    made = schema_of(ARGUMENTS)
    assert made["required"] == ["text"]
    assert made["properties"]["number"] == {
        "type": "integer",
        "description": "",
        "minimum": 1,
        "maximum": 5,
    }
    assert made["properties"]["order"]["enum"] == ["a", "b"]
    assert not made["additionalProperties"]
