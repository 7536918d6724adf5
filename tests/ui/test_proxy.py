"""The page below another path, behind a proxy that takes the path away."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from tests.servers import LiveServer

pytest.importorskip("playwright.sync_api", reason="playwright is not installed")

from playwright.sync_api import expect

PREFIX = "/tools/spans"
HOP = {"transfer-encoding", "connection", "content-length"}


@pytest.fixture
def proxy(web_server: LiveServer) -> Iterator[str]:
    """The address of the page behind it."""
    target = f"http://{web_server.running.http_address}"

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            if not self.path.startswith(PREFIX):
                self.send_error(404)
                return
            size = int(self.headers.get("content-length") or 0)
            with httpx.Client(trust_env=False) as client:
                request = client.build_request(
                    self.command,
                    target + self.path.removeprefix(PREFIX),
                    headers=dict(self.headers.items()),
                    content=self.rfile.read(size),
                )
                answer = client.send(request, stream=True)
                body = b"".join(answer.iter_raw())
            self.send_response(answer.status_code)
            for name, value in answer.headers.multi_items():
                if name not in HOP:
                    self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - names of http.server

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}{PREFIX}/ui/"
    server.shutdown()
    thread.join()
    server.server_close()


def test_signs_in_and_moves_about_below_the_path(
    chromium: Any, proxy: str, web_server: LiveServer
) -> None:
    context = chromium.new_context()
    page = context.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(f"{proxy}p/demo/traces?last=all")
    page.get_by_label("API key").fill(web_server.key())
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(f"{proxy}p/demo/traces?last=all")
    (cookie,) = context.cookies()
    assert cookie["path"] == f"{PREFIX}/ui"
    page.get_by_role("grid", name="Traces").get_by_role("link").first.click()
    expect(page.get_by_role("treegrid", name="Spans").get_by_role("row").nth(1)).to_be_visible()
    expect(page).to_have_url(re.compile(re.escape(f"{proxy}p/demo/traces/")))
    page.reload()
    expect(page.get_by_role("treegrid", name="Spans").get_by_role("row").nth(1)).to_be_visible()
    assert [url for url in asked if not url.startswith(proxy)] == []
    context.close()
