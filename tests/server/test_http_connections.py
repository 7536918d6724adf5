"""HTTP connections: socket options, and what uvicorn's protocol class must go on having."""

from __future__ import annotations

import asyncio
import inspect
import re
import socket
import tomllib
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from spanloom.server.http.connect import CONNECT
from spanloom.server.http.joined import JoinedTransport
from spanloom.server.http.protocol import HttpProtocol
from tests.servers import LiveServer

ROOT = Path(__file__).parents[2]


def test_small_answers_do_not_wait_for_an_acknowledgement(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: list[int] = []
    connection_made = HttpProtocol.connection_made

    def watched(self: HttpProtocol, transport: Any) -> None:
        connection_made(self, transport)
        accepted = transport.get_extra_info("socket")
        options.append(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    monkeypatch.setattr(HttpProtocol, "connection_made", watched)
    with LiveServer(database=f"sqlite:///{tmp_path}/x.db", log_level="error") as server:
        address = server.running.http_address
        assert httpx.get(f"http://{address}/v1/traces", trust_env=False).status_code == 401
    assert [bool(option) for option in options] == [True]


class Writes:
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        self.writes: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.writes.append(data)

    def close(self) -> None:
        self.writes.append(b"closed")


def test_the_head_of_an_answer_and_its_body_are_one_write() -> None:
    """Else a client whose deadline passes between the two reports a broken answer."""
    writes = Writes()
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n"

    async def answer() -> None:
        joined = JoinedTransport(cast(Any, writes), asyncio.get_running_loop())
        joined.write(head)
        joined.write(b"{}")
        await asyncio.sleep(0)

    asyncio.run(answer())
    assert writes.writes == [head + b"{}"]


def test_a_head_is_sent_even_if_no_body_comes() -> None:
    writes = Writes()
    head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"

    async def answer() -> None:
        joined = JoinedTransport(cast(Any, writes), asyncio.get_running_loop())
        joined.write(head)
        await asyncio.sleep(0)
        assert writes.writes == [head]
        joined.write(head)
        joined.close()

    asyncio.run(answer())
    assert writes.writes == [head, head, b"closed"]


def test_connect_clients_see_their_deadline_pass_before_the_server_does() -> None:
    """They round it down to milliseconds."""
    assert CONNECT.time_left({"connect-timeout-ms": "99"}) == 0.1


def test_uvicorn_has_the_methods_that_are_overridden() -> None:
    """They are private. If one were gone, its override would silently never be called."""
    overridden = {
        "connection_made": ["self", "transport"],
        "connection_lost": ["self", "exc"],
        "on_message_begin": ["self"],
        "on_headers_complete": ["self"],
        "on_message_complete": ["self"],
        "on_response_complete": ["self"],
        "pause_writing": ["self"],
        "resume_writing": ["self"],
        "data_received": ["self", "data"],
        "_should_upgrade": ["self"],
        "handle_websocket_upgrade": ["self"],
        "_unsupported_upgrade_warning": ["self"],
        "send_400_response": ["self", "msg"],
    }
    ours = {name for name, member in vars(HttpProtocol).items() if inspect.isfunction(member)}
    own = {
        "__init__",
        "close",
        "check_time",
        "_forwarded",
        "_head_size",
        "_check_head",
        "_refuse_late",
        "_refuse",
    }
    assert own & vars(HttpToolsProtocol).keys() == {"__init__"}
    assert ours == {*overridden, *own}
    for name, parameters in overridden.items():
        theirs = vars(HttpToolsProtocol)[name]
        assert list(inspect.signature(theirs).parameters) == parameters
        assert list(inspect.signature(vars(HttpProtocol)[name]).parameters) == parameters
    assert inspect.isgeneratorfunction(inspect.unwrap(uvicorn.Server.capture_signals))
    source = inspect.getsource(HttpToolsProtocol)
    for attribute in ("self.headers", "self.scope", "self.url", "self.transport"):
        assert attribute in source


def test_uvicorn_is_bounded_below_its_next_minor_version() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [bound] = [line for line in project["dependencies"] if line.startswith("uvicorn")]
    [locked] = re.findall(r"^uvicorn==([\d.]+)$", (ROOT / "requirements.lock").read_text(), re.M)
    major, minor, _ = locked.split(".")
    assert bound == f"uvicorn>={major}.{minor},<{major}.{int(minor) + 1}"
    assert uvicorn.__version__ == locked
