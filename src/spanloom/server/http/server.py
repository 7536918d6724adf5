"""The HTTP server: uvicorn, inside the running event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from functools import partial

import uvicorn
from starlette.types import ASGIApp

from spanloom.server.http.connections import Connections, HttpLimits, quiet_accept
from spanloom.server.http.protocol import HttpProtocol
from spanloom.server.listener import listen, with_port

_KEEP_ALIVE_SECONDS = 75


class HttpServer:
    """Serves an ASGI app; signals are left to the caller."""

    def __init__(self, app: ASGIApp, limits: HttpLimits = HttpLimits()) -> None:  # noqa: B008
        self._app = app
        self._connections = Connections(limits)
        self._watch: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._server: uvicorn.Server | None = None

    async def start(self, address: str, listener: socket.socket | None = None) -> str:
        """Listen on HOST:PORT (port 0 asks for a free one); the address with the port in use.

        Args:
            listener: A socket that listens already, to be used instead.
        """
        listener = listener or listen(address)
        config = uvicorn.Config(
            self._app,
            http=partial(HttpProtocol, open_connections=self._connections),  # type: ignore[arg-type]
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        )
        self._server = _QuietServer(config)
        self._watch = asyncio.create_task(self._connections.watch())
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]))
        while not self._server.started:
            if self._task.done():
                self._task.result()
                raise RuntimeError("the HTTP server stopped during its start")
            await asyncio.sleep(0.005)
        return with_port(address, listener)

    async def stop(self, grace: float) -> None:
        """Accept no connections, let requests end within `grace` seconds, then cancel them."""
        if self._server is None or self._task is None or self._watch is None:
            return
        self._server.config.timeout_graceful_shutdown = max(1, int(grace))
        self._server.should_exit = True
        try:
            await self._task
        finally:
            self._watch.cancel()


class _QuietServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        with quiet_accept(asyncio.get_running_loop()):
            yield  # the program handles signals: it drains both servers
