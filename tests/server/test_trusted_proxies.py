"""Limits by address are those of the client, where a trusted proxy names it."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spanloom.config import Settings
from spanloom.errors import SetupError
from spanloom.model.addresses import client_of, is_within, networks
from tests.servers import LiveServer

TRUSTED = networks("10.0.0.0/8, fd00::/8,127.0.0.1")


@pytest.mark.parametrize(
    ("entries", "client"),
    [
        ([], ""),
        (["192.0.2.1"], "192.0.2.1"),
        (["192.0.2.1", " 10.1.1.1"], "192.0.2.1"),
        (["198.51.100.9", "192.0.2.1", "10.0.0.1", "10.0.0.2"], "192.0.2.1"),
        (["10.0.0.1"], ""),
        (["192.0.2.1", "unknown"], ""),
        (["192.0.2.1:4711"], "192.0.2.1"),
        (["2001:db8::1"], "2001:db8::1"),
        (["[2001:db8::1]:4711", "fd00::1"], "2001:db8::1"),
        (['for="[2001:db8::1]:4711";proto=https', "for=10.0.0.1"], "2001:db8::1"),
        (["For=192.0.2.1; by=10.0.0.9"], "192.0.2.1"),
        (["for=192.0.2.1:80"], "192.0.2.1"),
        (["for=_hidden"], ""),
        (["by=10.0.0.9"], ""),
    ],
)
def test_the_client_is_the_last_address_that_no_trusted_proxy_has(
    entries: list[str], client: str
) -> None:
    assert client_of(entries, TRUSTED) == client


@given(st.lists(st.text(max_size=40), max_size=5))
def test_any_text_names_an_address_or_nobody(entries: list[str]) -> None:
    found = client_of(entries, TRUSTED)
    assert not found or (not is_within(found, TRUSTED) and networks(found))


def test_an_address_of_ipv4_is_found_in_its_form_of_ipv6() -> None:
    assert is_within("::ffff:10.0.0.1", TRUSTED)
    assert not is_within("::ffff:192.0.2.1", TRUSTED)
    assert not is_within("", TRUSTED)


def test_the_setting_must_name_networks() -> None:
    with pytest.raises(SetupError, match=r"trusted_proxies .*10\.0\.0\.1/8"):
        Settings(trusted_proxies="10.0.0.1/8")


def statuses(server: LiveServer, *clients: str, header: str = "X-Forwarded-For") -> list[int]:
    """What wrong keys of the clients are answered."""
    with httpx.Client(base_url=f"http://{server.running.http_address}", trust_env=False) as through:
        wrong = {"Authorization": f"Bearer {'x' * 40}"}
        return [
            through.get("/v1/traces", headers={**wrong, header: client}).status_code
            for client in clients
        ]


def test_only_a_trusted_proxy_names_the_client(tmp_path: Path) -> None:
    settings = {"max_failed_keys": 1, "log_level": "error", "max_connections_per_address": 2}
    trusting = LiveServer(
        database=f"sqlite:///{tmp_path}/a.db", trusted_proxies="127.0.0.0/8", **settings
    )
    with trusting as server:
        assert statuses(server, "192.0.2.1", "192.0.2.1", "192.0.2.2") == [401, 429, 401]
        named = ("for=192.0.2.3", "for=192.0.2.3", "for=192.0.2.4")
        assert statuses(server, *named, header="Forwarded") == [401, 429, 401]
        # The proxy's connections are not those of one client.
        host, _, port = server.running.http_address.rpartition(":")
        request = b"GET /v1/traces HTTP/1.1\r\nHost: a\r\n\r\n"
        with contextlib.ExitStack() as stack:
            each = [
                stack.enter_context(socket.create_connection((host, int(port)), timeout=20))
                for _ in range(6)
            ]
            for connection in each:
                connection.sendall(request)
                assert connection.recv(12) == b"HTTP/1.1 401"
    with LiveServer(database=f"sqlite:///{tmp_path}/b.db", **settings) as server:
        assert statuses(server, "192.0.2.1", "192.0.2.2") == [401, 429]
