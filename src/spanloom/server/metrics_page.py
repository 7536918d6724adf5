"""The page that shows the metrics of all processes to Prometheus, on an address of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from importlib.metadata import version
from socketserver import ThreadingMixIn
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer

import structlog
from prometheus_client import REGISTRY, CollectorRegistry, make_wsgi_app, multiprocess
from prometheus_client.core import GaugeMetricFamily

from spanloom import metrics
from spanloom.errors import SetupError
from spanloom.server.listener import listen

log = structlog.get_logger("spanloom.metrics")

# A client that sends nothing for so many seconds is cut off, and a database that does not answer.
_PATIENCE_SECONDS: Final = 10

# The figures of a database that are read when the page is asked for: by name, without `spanloom_`.
Figures = Callable[[], Coroutine[Any, Any, Mapping[str, float]]]
_HELP: Final = {
    "database_bytes": "Size of the database.",
    "wal_bytes": "Size of the write-ahead log (SQLite).",
    "checkpoint_timestamp_seconds": "When the log was last written back (SQLite).",
    "evaluations_waiting": "Evaluations that wait or run.",
}


def listening(address: str) -> socket.socket | None:
    """The socket of the page. A server that cannot show it serves all the same."""
    if not address:
        return None
    try:
        return listen(address, patience=0)
    except SetupError as error:
        log.warning("there is no page of metrics", error=str(error))
        return None


@contextlib.contextmanager
def served(listener: socket.socket | None, figures: Figures) -> Iterator[None]:
    """Answer `GET /metrics` on a listening socket from a thread, until the block ends.

    Args:
        listener: None for no page.
        figures: Runs on the event loop that enters the block.
    """
    if listener is None:
        yield
        return
    loop = asyncio.get_running_loop()

    def read() -> Mapping[str, float]:
        return asyncio.run_coroutine_threadsafe(figures(), loop).result(_PATIENCE_SECONDS)

    registry = REGISTRY
    if metrics.DIRECTORY in os.environ:
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    own = _Now(read)
    registry.register(own)
    server = _Server(listener)
    server.set_app(make_wsgi_app(registry))
    threading.Thread(target=server.serve_forever, name="spanloom-metrics", daemon=True).start()
    host, port = listener.getsockname()[:2]
    log.info("metrics", address=f"[{host}]:{port}" if ":" in host else f"{host}:{port}")
    try:
        yield
    finally:
        # Not waited for: a page that is being made waits for this event loop.
        threading.Thread(target=server.shutdown, daemon=True).start()
        registry.unregister(own)


class _Now:
    """What is read when the page is asked for: the figures of the database, and the version."""

    def __init__(self, figures: Callable[[], Mapping[str, float]]) -> None:
        self._figures = figures

    def describe(self) -> Iterable[Any]:
        """Nothing: registering the collector must not read the database."""
        return ()

    def collect(self) -> Iterator[Any]:
        build = GaugeMetricFamily("spanloom_build_info", "Always 1.", labels=["version"])
        build.add_metric([version("spanloom")], 1)
        yield build
        try:
            found = self._figures()
        except Exception as error:  # noqa: BLE001 - the other metrics are shown all the same
            log.warning("the figures of the database cannot be read: %s", error)
            return
        for name, value in found.items():
            yield GaugeMetricFamily(f"spanloom_{name}", _HELP[name], value=value)


class _Handler(WSGIRequestHandler):
    timeout = _PATIENCE_SECONDS

    def log_message(self, *_: object) -> None:
        """Nothing: Prometheus asks all the time."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True

    def __init__(self, listener: socket.socket) -> None:
        address = listener.getsockname()
        super().__init__(address[:2], _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.server_name, self.server_port = str(address[0]), int(address[1])
        self.setup_environ()
