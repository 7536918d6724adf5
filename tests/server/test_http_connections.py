"""HTTP connections: socket options, and what uvicorn's protocol class must go on having."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from spanloom.server.http.protocol import HttpProtocol
from tests.servers import LiveServer


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
        assert httpx.get(f"http://{address}/healthz", trust_env=False).status_code == 200
    assert [bool(option) for option in options] == [True]
