"""HTTP connections: socket options, and what uvicorn's protocol class must go on having."""

from __future__ import annotations

import inspect
import re
import socket
import tomllib
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

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
