"""The page /docs of an installation without Swagger UI, and its addresses in one that has it."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from spanloom.server.http import docs_page
from tests.servers import LiveServer


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(docs_page, "SWAGGER_UI", tmp_path)
    return tmp_path


def get(live: LiveServer, path: str) -> httpx.Response:
    return httpx.get(f"http://{live.running.http_address}{path}", trust_env=False)


def test_without_the_build_the_page_says_how_to_build_it(directory: Path) -> None:
    (directory / "swagger-ui.css").write_text("half of a build")
    with LiveServer(database=f"sqlite:///{directory}/spanloom.db", log_level="error") as live:
        page = get(live, "/docs")
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/plain; charset=utf-8"
        assert "make docs-page" in page.text
        assert "/openapi.json" in page.text
        link = page.links["service-desc"]["url"]
        assert "paths" in get(live, f"/{link}").json()
        assert get(live, "/docs/swagger-ui.css").status_code == 404


def test_the_page_needs_no_key_and_runs_no_code_but_its_own(directory: Path) -> None:
    (directory / "swagger-ui.css").write_text("css")
    (directory / "swagger-ui-bundle.js").write_text("js")
    with LiveServer(database=f"sqlite:///{directory}/spanloom.db", log_level="error") as live:
        page = get(live, "/docs")
        policy = dict(
            part.split(" ", 1) for part in page.headers["content-security-policy"].split("; ")
        )
        assert policy["default-src"] == policy["frame-ancestors"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert page.headers["x-content-type-options"] == "nosniff"
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers["x-request-id"]
        assert get(live, "/docs/swagger-ui.css").text == "css"
        assert get(live, "/docs/swagger-ui-bundle.js").text == "js"
        for path in ("/docs/", "/docs/spanloom.db", "/docs/..%2Fspanloom.db", "/docs/LICENSE"):
            assert get(live, path).status_code == 404, path
