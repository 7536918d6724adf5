"""The HTTP server: uvicorn, inside the running event loop, behind a door in a thread."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator
from functools import partial

import uvicorn
from starlette.types import ASGIApp

from spanloom.server.certificates import Certificates
from spanloom.server.health import Health
from spanloom.server.http.connections import Connections, HttpLimits
from spanloom.server.http.door import Door
from spanloom.server.http.protocol import HttpProtocol
from spanloom.server.http.tls import Tls, TlsProtocol
from spanloom.server.listener import listen, with_port

_KEEP_ALIVE_SECONDS = 75


class HttpServer:
    """Serves an ASGI app; signals are left to the caller.

    Args:
        health: What `/healthz` and `/readyz` answer, whatever the app and the event loop do.
        certificates: For TLS; None for plain HTTP.
    """

    def __init__(
        self,
        app: ASGIApp,
        limits: HttpLimits = HttpLimits(),  # noqa: B008 - frozen
        health: Health | None = None,
        certificates: Certificates | None = None,
    ) -> None:
        self._app = app
        self._certificates = certificates
        self._health = health or Health()
        self._connections = Connections(limits)
        self._watch: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None
        self._server: uvicorn.Server | None = None
        self._door: Door | None = None
        self._arriving: set[asyncio.Task[None]] = set()

    async def start(self, address: str, listener: socket.socket | None = None) -> str:
        """Listen on HOST:PORT (port 0 asks for a free one); the address with the port in use.

        Args:
            listener: A socket that listens already, to be used instead.
        """
        listener = listener or listen(address)
        config = uvicorn.Config(
            self._app,
            http=HttpProtocol,
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            proxy_headers=False,  # uvicorn would believe those of this machine; see HttpLimits
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        )
        self._server = _QuietServer(config)
        self._watch = asyncio.create_task(self._connections.watch())
        address = with_port(address, listener)
        self._task = asyncio.create_task(self._server.serve(sockets=[]))  # the door accepts
        while not self._server.started:
            if self._task.done():
                self._task.result()
                raise RuntimeError("the HTTP server stopped during its start")
            await asyncio.sleep(0.005)
        loop = asyncio.get_running_loop()
        protocol = partial(
            HttpProtocol,
            config=config,
            server_state=self._server.server_state,
            app_state={},
            open_connections=self._connections,
        )

        def hand_over(connection: socket.socket, tls: Tls | None) -> None:
            try:
                loop.call_soon_threadsafe(self._take, connection, tls, protocol)
            except RuntimeError:  # the loop has ended
                connection.close()

        self._door = Door(
            listener, self._health, hand_over, self._connections.most // 2, self._certificates
        )
        self._door.open()
        return address

    async def stop(self, grace: float) -> None:
        """Accept no connections, let requests end within `grace` seconds, then cancel them."""
        if self._server is None or self._task is None or self._watch is None:
            return
        if self._door is not None:
            self._door.close()
            self._door = None
        self._connections.drain()
        self._server.config.timeout_graceful_shutdown = max(1, int(grace))
        self._server.should_exit = True
        try:
            await self._task
        finally:
            self._watch.cancel()

    def _take(
        self, connection: socket.socket, tls: Tls | None, protocol: Callable[[], HttpProtocol]
    ) -> None:
        task = asyncio.create_task(_serve(connection, tls, protocol))
        self._arriving.add(task)
        task.add_done_callback(self._arriving.discard)
        if self._door is not None:
            self._door.taken()


async def _serve(
    connection: socket.socket, tls: Tls | None, protocol: Callable[[], HttpProtocol]
) -> None:
    made = partial(TlsProtocol, protocol(), tls) if tls else protocol
    try:
        await asyncio.get_running_loop().connect_accepted_socket(made, connection)
    except OSError:  # the client has left
        connection.close()


class _QuietServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # the program handles signals: it drains both servers
