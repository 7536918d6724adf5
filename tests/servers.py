"""A whole Spanloom server inside the test process, on its own thread and free ports."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from typing import Any, Self, TypeVar

from spanloom import app
from spanloom.config import Settings
from spanloom.model import api_keys
from spanloom.model.projects import INSTANCE
from spanloom.server.auth import ApiKeyAuthenticator
from spanloom.server.middleware import Middleware
from tests.clients import DirectClient

T = TypeVar("T")
ANY_PORT = "127.0.0.1:0"


# Where uploads go, as the server of the tests of the public API says.
PUBLIC_URL = "http://upload.example"


class LiveServer:
    """`with LiveServer(database=...) as server:` listens when the block begins, and has drained
    when it ends."""

    def __init__(self, **settings: Any) -> None:
        given = {"lame_duck": 0.0, **settings}
        self._settings = Settings(grpc_address=ANY_PORT, http_address=ANY_PORT, **given)
        self.database = self._settings.database
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self.running: app.Running

    def __enter__(self) -> Self:
        self._thread.start()
        assert self._started.wait(60), "the server did not start"
        if self._failure:
            raise self._failure
        return self

    def __exit__(self, *failure: object) -> None:
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(60)

    async def _main(self) -> None:
        self.loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        try:
            async with app.running(self._settings) as self.running:
                self._started.set()
                await self._stop.wait()
        except BaseException as error:  # noqa: BLE001 - told to the test's thread
            self._failure = error
            self._started.set()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the server's event loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def key(self, project: str = INSTANCE, role: str = "admin") -> str:
        """A new key's text."""
        key, text = api_keys.new_key(project, role)

        async def write() -> None:
            if project != INSTANCE:
                await self.running.store.ensure_project(project)
            await self.running.store.create_key(key)

        self.run(write())
        return text

    def direct(self) -> DirectClient:
        """A client that calls the services in this process."""
        store = self.running.store
        middleware = Middleware(
            ApiKeyAuthenticator(store),
            is_deleting=store.erasure.is_deleting,
            rates=self.running.rates,
        )
        methods = app.methods(store, public_url=self._settings.public_url)
        return DirectClient(methods, middleware, self.loop)
