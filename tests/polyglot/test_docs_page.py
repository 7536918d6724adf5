"""The page /docs in a browser that reaches nothing but the server, and in the wheel."""

from __future__ import annotations

import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

from spanloom.server.http import docs_page
from tests.servers import LiveServer
from tests.toolchains import need
from tests.wheels import ROOT, build, copy_of_sources
from tools import docs_page as tool

pytestmark = pytest.mark.polyglot

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="module")
def swagger_ui(tmp_path_factory: pytest.TempPathFactory) -> Path:
    need("node")
    directory = tmp_path_factory.mktemp("swagger-ui")
    tool.install(directory)
    return directory


def browsed(address: str, profile: Path) -> tuple[str, str]:
    """The page that Chromium makes of an address, and what it logs."""
    assert CHROMIUM is not None
    done = subprocess.run(
        [
            *(CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
            *("--enable-logging=stderr", "--v=0", "--virtual-time-budget=20000"),
            *(f"--user-data-dir={profile}", "--dump-dom", address),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout, done.stderr


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_the_page_shows_the_api_without_a_network(
    swagger_ui: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docs_page, "SWAGGER_UI", swagger_ui)
    with LiveServer(database=f"sqlite:///{tmp_path}/spanloom.db", log_level="error") as live:
        page, logged = browsed(f"http://{live.running.http_address}/docs", tmp_path / "profile")
    assert 'class="swagger-ui"' in page
    for service in ("SpanService", "ChatService", "TraceService"):
        assert f'data-tag="{service}"' in page
    wrong = [line for line in logged.splitlines() if "CONSOLE" in line]
    assert wrong == []  # a refusal by the policy of the page, for one


def test_the_wheel_has_the_page_and_its_licenses(swagger_ui: Path, tmp_path: Path) -> None:
    source, out = tmp_path / "source", tmp_path / "wheel"
    source.mkdir()
    target = copy_of_sources(source) / tool.TARGET.relative_to(ROOT)
    shutil.copytree(swagger_ui, target, dirs_exist_ok=True)
    wheel = build(source, out)
    names = zipfile.ZipFile(wheel).namelist()
    assert {f"spanloom/server/http/swagger_ui/{name}" for name in tool.FILES} <= set(names)
