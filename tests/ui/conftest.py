"""A real server, and a headless Chromium that looks at its page.

Each test fails if the page logged an error, violated its policy, or asked anything of another host.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from spanloom.operations.demo import fill
from spanloom.server import sign_in
from spanloom.server.ui.files import is_built
from tests.databases import new_url
from tests.servers import LiveServer

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
SCREENSHOTS = Path(__file__).resolve().parents[2] / "build" / "ui-screenshots"
# Each run of the demo has as many a day.
TRACES_PER_DAY = 5


@pytest.fixture(scope="session")
def chromium(request: pytest.FixtureRequest) -> Iterator[Any]:
    if not request.config.getoption("--full"):
        pytest.skip("looks at the web page: runs with --full")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium is installed")
    if not is_built():
        pytest.skip("the web page is not built: make ui")
    # On a loaded machine all of it takes long; a test waits for what it expects, not for a time.
    sync_api.expect.set_options(timeout=60_000)
    with sync_api.sync_playwright() as playwright:
        # As root, as in containers, Chromium needs its sandbox off.
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def demo_server(kind: str, directory: Path) -> Iterator[LiveServer]:
    with LiveServer(database=new_url(kind, directory), log_level="error") as server:

        async def write() -> None:
            async for _ in fill(server.running.store, "demo", traces_per_day=TRACES_PER_DAY):
                pass

        server.run(write())
        yield server


@pytest.fixture(scope="session")
def web_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server with an invented week in the project `demo`."""
    with demo_server("sqlite", tmp_path_factory.mktemp("ui")) as server:
        yield server


@pytest.fixture
def root(web_server: LiveServer) -> str:
    return f"http://{web_server.running.http_address}/ui/"


@pytest.fixture
def api(web_server: LiveServer) -> Iterator[httpx.Client]:
    """The API, with an instance key, in the project `demo`."""
    headers = {
        "authorization": f"Bearer {web_server.key()}",
        "x-spanloom-project": "demo",
    }
    base = f"http://{web_server.running.http_address}"
    with httpx.Client(base_url=base, headers=headers, trust_env=False) as client:
        yield client


def first(api: httpx.Client, path: str, kind: str, query: dict[str, str]) -> dict[str, Any]:
    """The first element of a list. A page may be empty although more follows: then it is that of a
    later page."""
    token = ""
    while True:
        page = api.get(path, params={"pageSize": "1", "pageToken": token, **query}).json()
        if page[kind]:
            found: dict[str, Any] = page[kind][0]
            return found
        token = page["nextPageToken"]
        assert token, f"{path} has no {query}"


Open = Callable[..., Any]


@pytest.fixture
def open_page(chromium: Any, web_server: LiveServer, root: str) -> Iterator[Open]:
    """Opens a page below /ui/, signed in with a key of a role; options are those of a context."""
    contexts: list[Any] = []
    wrong: list[str] = []

    def open_it(path: str, *, role: str = "admin", project: str = "*", **options: Any) -> Any:
        allowed = options.pop("allowed", "")
        settings = {"viewport": {"width": 1440, "height": 860}, **options}
        context = chromium.new_context(**settings)
        contexts.append(context)
        context.set_default_timeout(60_000)
        page = context.new_page()

        def logged(message: Any) -> None:
            if message.type == "error" and not (allowed and allowed in message.text):
                wrong.append(message.text)

        page.on("console", logged)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((root, "blob:", "data:"))
                else wrong.append(f"asked for {request.url}")
            ),
        )
        if role:
            key = web_server.key(project, role)
            answer = context.request.post(
                f"{root}sign-in", data={"key": key}, headers={"origin": root[: -len("/ui/")]}
            )
            assert answer.ok, answer.text()
        page.goto(root + path)
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert not wrong


@pytest.fixture
def link_token(web_server: LiveServer) -> str:
    web_server.key()
    token = web_server.run(sign_in.link_token(web_server.running.store))
    assert token
    return token
