"""Web pages of other origins: refused by default, and let in by the setting alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.servers import LiveServer

PAGE = "https://app.example"
PREFLIGHT = {
    "origin": PAGE,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type",
}


@pytest.fixture
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[httpx.Client]:
    """A client of a server with the marked setting."""
    database = f"sqlite:///{tmp_path}/spanloom.db"
    with (
        LiveServer(database=database, log_level="error", cors_origins=request.param) as server,
        httpx.Client(base_url=f"http://{server.running.http_address}", trust_env=False) as client,
    ):
        client.headers["authorization"] = f"Bearer {server.key('default')}"
        yield client


@pytest.mark.parametrize("client", [""], indirect=True)
def test_it_is_off_unless_set(client: httpx.Client) -> None:
    assert client.options("/monitor/trace", headers=PREFLIGHT).status_code == 405
    answer = client.post("/monitor/trace", headers={"origin": PAGE}, json={"input": "x"})
    assert answer.status_code == 200
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("client", [f"https://other.example, {PAGE}", "*"], indirect=True)
def test_pages_of_the_origins_may_call(client: httpx.Client) -> None:
    asked = client.options("/monitor/trace", headers=PREFLIGHT)
    assert asked.status_code == 200
    assert asked.headers["access-control-allow-origin"] in (PAGE, "*")
    assert "authorization" in asked.headers["access-control-allow-headers"].lower()
    answer = client.post("/monitor/trace", headers={"origin": PAGE}, json={"input": "x", "new": 1})
    assert answer.headers["access-control-allow-origin"] in (PAGE, "*")
    exposed = answer.headers["access-control-expose-headers"]
    assert {"x-request-id", "x-ignored-fields", "x-total-is-lower-bound", "retry-after"} <= set(
        exposed.split(", ")
    )


@pytest.mark.parametrize("client", [PAGE], indirect=True)
def test_pages_may_read_why_they_were_refused(client: httpx.Client) -> None:
    answer = client.post("/monitor/trace", headers={"origin": PAGE}, content="{")
    assert answer.status_code == 400
    assert answer.headers["access-control-allow-origin"] == PAGE


@pytest.mark.parametrize("client", ["https://other.example"], indirect=True)
def test_pages_of_other_origins_may_not(client: httpx.Client) -> None:
    assert client.options("/monitor/trace", headers=PREFLIGHT).status_code == 400
    answer = client.post("/monitor/trace", headers={"origin": PAGE}, json={"input": "x"})
    assert "access-control-allow-origin" not in answer.headers
