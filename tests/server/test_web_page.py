"""The web page's part of the server: files and headers, sign-in, cookies, and who may call."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from spanloom.model import api_keys
from spanloom.server import sign_in
from spanloom.server.ui import files, pages
from tests.servers import LiveServer

OWN = {"sec-fetch-site": "same-origin"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A built page, as Vite leaves it: the real one is not needed to serve files."""
    directory = tmp_path_factory.mktemp("static")
    (directory / "a").mkdir()
    (directory / "index.html").write_text(
        '<script type="module" src="./a/main-1.js"></script><link href="./icon.svg">'
    )
    (directory / "a" / "main-1.js").write_text("export const page = 1;\n" * 100)
    (directory / "icon.svg").write_text("<svg/>")
    return directory


@pytest.fixture(scope="module")
def server(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    database = f"sqlite:///{tmp_path_factory.mktemp('web')}/spanloom.db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pages, "read_files", lambda: files.read_files(built))
        with LiveServer(
            database=database, log_level="error", ui_hosts="spans.example, other.example"
        ) as server:
            yield server


@pytest.fixture
def browser(server: LiveServer) -> Iterator[httpx.Client]:
    """A client that keeps cookies and sends what a browser sends from the page."""
    base = f"http://{server.running.http_address}"
    with httpx.Client(base_url=base, headers=OWN, trust_env=False) as client:
        yield client


def signed_in(browser: httpx.Client, key: str) -> httpx.Response:
    return browser.post("/ui/sign-in", json={"key": key})


def test_the_page_is_served_at_every_depth_with_relative_addresses(browser: httpx.Client) -> None:
    for path, base in [
        ("/ui/", "./"),
        ("/ui/settings", "./"),
        ("/ui/p/default/traces", "../../"),
        ("/ui/p/default/traces/a%2Fb", "../../../"),
    ]:
        answer = browser.get(path)
        assert answer.status_code == 200
        assert f'src="{base}a/main-1.js"' in answer.text
        assert answer.headers["cache-control"] == "no-cache"
        csp = answer.headers["content-security-policy"]
        assert "default-src 'none'" in csp
        assert "require-trusted-types-for 'script'" in csp
        assert "unsafe" not in csp
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"


def test_files_are_compressed_and_kept_for_ever(browser: httpx.Client) -> None:
    packed = browser.get("/ui/a/main-1.js")
    assert packed.headers["content-encoding"] == "gzip"
    assert "immutable" in packed.headers["cache-control"]
    assert packed.headers["content-type"].startswith("text/javascript")
    plain = browser.get("/ui/a/main-1.js", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers
    assert plain.content == packed.content
    assert browser.get("/ui/a/main-0.js").status_code == 404


def test_people_are_led_to_the_page_and_programs_are_not(browser: httpx.Client) -> None:
    for path in ("/", "/ui"):
        answer = browser.get(path, headers={"accept": "text/html,*/*"})
        assert (answer.status_code, answer.headers["location"]) == (303, "ui/")
    answer = browser.get("/", headers={"accept": "application/json"})
    assert answer.status_code == 404
    assert answer.json()["errorCode"] == "ERROR_REASON_ROUTE_NOT_FOUND"


def test_a_key_signs_in_and_does_not_stay_in_the_browser(
    server: LiveServer, browser: httpx.Client
) -> None:
    key = server.key("mine", "read")
    assert browser.get("/ui/api/v1/caller").status_code == 401
    answer = signed_in(browser, f" {key}\n")
    assert answer.status_code == 204
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert "Path" not in cookie  # that of the directory, which a proxy may have moved
    assert "Secure" not in cookie
    assert key not in cookie
    caller = browser.get("/ui/api/v1/caller")
    assert caller.json()["projectId"] == "mine"
    assert caller.headers["cache-control"] == "no-store"
    assert caller.headers["cross-origin-resource-policy"] == "same-origin"
    assert browser.delete("/ui/sign-in").status_code == 204
    assert browser.get("/ui/api/v1/caller").status_code == 401


def test_the_cookie_is_secure_where_the_page_is(server: LiveServer, browser: httpx.Client) -> None:
    """A proxy ends TLS; the browser names the scheme."""
    answer = browser.post(
        "/ui/sign-in",
        json={"key": server.key()},
        headers={"host": "spans.example", "origin": "https://spans.example"},
    )
    assert answer.headers["set-cookie"].endswith("; Secure")
    assert answer.headers["set-cookie"].startswith("spanloom-ui-default=")


@pytest.mark.parametrize(
    "body",
    [
        {"key": "sl_0123456789abcdef_" + "x" * 43},
        {"key": 5},
        {"link": "x"},
        {"link": "\ud800"},
        {},
        {"key": "x" * 20_000},
    ],
)
def test_a_wrong_key_or_link_is_refused(browser: httpx.Client, body: dict[str, object]) -> None:
    answer = browser.post(
        "/ui/sign-in", content=json.dumps(body), headers={"content-type": "application/json"}
    )
    assert answer.status_code == 401
    assert "set-cookie" not in answer.headers
    assert answer.json()["error"]["message"]


def test_a_link_signs_in_once(server: LiveServer, browser: httpx.Client) -> None:
    server.key()
    token = server.run(sign_in.link_token(server.running.store))
    assert token is not None
    assert browser.post("/ui/sign-in", json={"link": token}).status_code == 204
    assert browser.get("/ui/api/v1/caller").json()["instanceKey"] is True
    assert browser.post("/ui/sign-in", json={"link": token}).status_code == 401


def test_a_sign_in_ends_with_its_key(server: LiveServer, browser: httpx.Client) -> None:
    key = server.key("mine", "read")
    signed_in(browser, key)
    assert browser.get("/ui/api/v1/caller").status_code == 200
    key_id = api_keys.key_id(key)
    assert key_id
    server.run(server.running.store.revoke_key(key_id, time.time_ns()))
    deadline = time.monotonic() + 30
    while browser.get("/ui/api/v1/caller").status_code != 401:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_ticket_cannot_be_made_or_changed() -> None:
    key, _ = api_keys.new_key("mine", "read")
    other, _ = api_keys.new_key("mine", "admin")
    ticket = sign_in.new_ticket(key, 1000.0)
    assert sign_in.ticket_key_id(ticket) == key.id
    assert sign_in.ticket_opens(key, ticket, 1000.0)
    end = 1000 + sign_in.TICKET_SECONDS
    assert not sign_in.ticket_opens(key, ticket, float(end))
    head, _, mac = ticket.rpartition("_")
    longer = head.replace(f"_{end}", f"_{end + 1}")
    for bad in (
        f"{longer}_{mac}",
        f"{head}_{'0' * 64}",
        ticket.replace(key.id, other.id),
        ticket + "0",
        "",
        "slt_x_1_y",
    ):
        assert not sign_in.ticket_opens(key, bad, 1000.0)
        assert not sign_in.ticket_opens(other, bad, 1000.0)


@pytest.mark.parametrize(
    "headers",
    [
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
        {"sec-fetch-site": "none"},
        {"sec-fetch-site": "", "origin": "http://evil.example"},
        {"sec-fetch-site": "", "origin": "null"},
        {"sec-fetch-site": "", "origin": "http://127.0.0.1:1"},
    ],
)
def test_pages_of_other_sites_use_no_cookie(
    server: LiveServer, browser: httpx.Client, headers: dict[str, str]
) -> None:
    signed_in(browser, server.key())
    for method, path in [
        ("GET", "/ui/api/v1/caller"),
        ("PUT", "/ui/api/v1/reviews/x"),
        ("POST", "/ui/sign-in"),
        ("DELETE", "/ui/sign-in"),
    ]:
        answer = browser.request(method, path, headers=headers)
        assert answer.status_code == 403, (method, path)
        assert "set-cookie" not in answer.headers


def test_without_fetch_metadata_only_reads_and_the_own_origin_pass(
    server: LiveServer, browser: httpx.Client
) -> None:
    """As browsers send it over plain HTTP, from another machine."""
    signed_in(browser, server.key())
    del browser.headers["sec-fetch-site"]
    own = f"http://{server.running.http_address}"
    review = {"target": {"traceId": "t"}, "name": "thumb", "score": 1}
    assert browser.get("/ui/api/v1/caller").status_code == 200
    assert browser.put("/ui/api/v1/reviews/x", json=review).status_code == 403
    answer = browser.put("/ui/api/v1/reviews/x", json=review, headers={"origin": own})
    assert answer.status_code == 200


def test_the_cookie_opens_nothing_outside_of_the_page(
    server: LiveServer, browser: httpx.Client
) -> None:
    signed_in(browser, server.key())
    (cookie,) = browser.cookies.jar
    header = {"cookie": f"{cookie.name}={cookie.value}"}
    assert browser.get("/v1/caller", headers=header).status_code == 401
    # And a key in a header opens nothing there: it would let a page try keys.
    bearer = {"authorization": f"Bearer {server.key()}", "cookie": ""}
    assert browser.get("/ui/api/v1/caller", headers=bearer).status_code == 401


def test_other_host_names_are_refused(browser: httpx.Client) -> None:
    """A page of another site could reach a loopback address by a name of its own."""
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", ""):
        for path in ("/ui/", "/ui/api/v1/caller"):
            answer = browser.get(path, headers={"host": host})
            assert answer.status_code == 421, (host, path)
    for host in ("localhost:4318", "[::1]:4318", "SPANS.example", "other.example:8080"):
        assert browser.get("/ui/", headers={"host": host}).status_code == 200


def test_any_host_may_be_named_where_the_server_is_not_local() -> None:
    scope = {
        "method": "GET",
        "path": "/ui/",
        "headers": [(b"host", b"any.example")],
    }
    assert pages.Pages(None, any_host=True).refusal(scope) is None
    assert pages.Pages(None, any_host=False).refusal(scope) is not None


def test_a_server_without_keys_needs_no_sign_in(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/spanloom.db"
    with (
        LiveServer(database=database, log_level="error", no_auth=True) as server,
        httpx.Client(
            base_url=f"http://{server.running.http_address}", headers=OWN, trust_env=False
        ) as browser,
    ):
        assert server.running.link_token is None
        assert browser.get("/ui/api/v1/caller").json()["instanceKey"] is True
        assert browser.get("/ui/api/v1/nothing").status_code == 404


def test_without_a_build_the_server_says_how_to_build(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "read_files", lambda: files.read_files(tmp_path / "none"))
    with (
        LiveServer(database=f"sqlite:///{tmp_path}/spanloom.db", log_level="error") as server,
        httpx.Client(base_url=f"http://{server.running.http_address}", trust_env=False) as client,
    ):
        answer = client.get("/ui/")
        assert answer.status_code == 503
        assert "make ui" in answer.text
        assert client.get("/healthz").status_code == 200
