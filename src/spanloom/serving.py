"""The processes of a server: one, or workers with one beside them; and how they end."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import socket
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from functools import partial

import structlog

from spanloom.app import (
    Running,
    Sockets,
    Started,
    check,
    first_key,
    forwarding_of,
    open_store,
    running,
    sign_in_link,
)
from spanloom.config import Settings
from spanloom.forwarding.forwarder import forward_until
from spanloom.genai import pricing
from spanloom.server import gc_tuning, memory, metrics_page
from spanloom.server.listener import reserve, with_port
from spanloom.server.supervisor import Supervisor
from spanloom.store.store import Store

log = structlog.get_logger("spanloom")

# How long a thread that converts something large may hold the interpreter's lock, in seconds.
_SWITCH_INTERVAL = 0.001
# How far the process that indexes stays behind the workers where they need the cores.
_INDEXER_NICE = 10
# Beyond the drain: for the writer's queue, and to close the database.
_GRACE_SECONDS = 1.5


def serve(settings: Settings, started: Callable[[Started], None]) -> bool:
    """Run until SIGINT or SIGTERM; False if it could not start or go on (the log says why).

    Args:
        started: Is called when both addresses answer.
    """
    pricing.load()  # once: workers share its memory
    gc_tuning.tune_gc()
    check(settings)
    memory.tune()
    _open_many_files()
    sys.setswitchinterval(_SWITCH_INTERVAL)
    listener = metrics_page.listening(settings.metrics_address)
    if settings.workers == 1:
        return asyncio.run(_serve(settings, started, listener=listener))
    # Bound and prepared once, before the workers: there is one port, one schema, one first key.
    with reserve(settings.grpc_address) as grpc, reserve(settings.http_address) as http:
        asyncio.run(_with_store(settings, _only_open))

        def all_ready() -> None:
            # Created last: it is printed once, and a failed start must not consume it.
            new_key = None if settings.no_auth else asyncio.run(_with_store(settings, first_key))
            link = asyncio.run(_with_store(settings, partial(sign_in_link, settings)))
            grpc_address = with_port(settings.grpc_address, grpc)
            started(Started(grpc_address, with_port(settings.http_address, http), new_key, link))

        supervisor = Supervisor(
            settings.workers,
            lambda ready: asyncio.run(_serve(settings, lambda _: ready(), Sockets(grpc, http))),
            grace=settings.drain_timeout + _GRACE_SECONDS,
            beside=lambda ready: asyncio.run(_beside(settings, ready, listener)),
        )
        return supervisor.run(all_ready)


def _open_many_files() -> None:
    """Use all the descriptors that the system grants: each connection takes one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _serve(
    settings: Settings,
    started: Callable[[Running], None],
    sockets: Sockets | None = None,
    listener: socket.socket | None = None,
) -> bool:
    """Serve until a signal; False if the process cannot go on."""
    stop = _stop_at_signals(settings.drain_timeout + _GRACE_SECONDS)
    async with running(settings, sockets) as server:
        with metrics_page.served(listener, server.store.figures):
            server.store.when_writer_dies(_terminate)
            started(server)
            await stop.wait()
    return not server.store.has_dead_writer


async def _beside(
    settings: Settings, ready: Callable[[], None], listener: socket.socket | None
) -> bool:
    """What one process does for all workers until a signal: fill the index of terms and the sums
    over spans, when the workers leave time for it, forward spans, and show the metrics. The answer
    is that of `_serve`."""
    stop = _stop_at_signals(settings.drain_timeout + _GRACE_SECONDS)
    store = await open_store(settings, migrate=False, newer=True, durable=False)
    # This thread and those that it starts, of which most of the work is. The store's writer is
    # there already: while it has the lock, the workers wait for it.
    os.nice(_INDEXER_NICE)
    try:
        with metrics_page.served(listener, store.figures):
            store.when_writer_dies(_terminate)
            ready()
            forwarding = forwarding_of(settings)
            sending = forward_until(stop, store, forwarding) if forwarding else stop.wait()
            await asyncio.gather(store.follow_until(stop, settings.retention_days), sending)
    finally:
        await store.close()
    return not store.has_dead_writer


def _stop_at_signals(most_seconds: float) -> asyncio.Event:
    """Set by a signal, after which the process ends within so many seconds, whatever it does.

    Not `loop.add_signal_handler`: it hands signals over by the socket by which threads wake the
    loop, and loses those that come while the socket is full.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def end() -> None:
        time.sleep(most_seconds)
        log.error("the server is killed: it did not end in time", seconds=most_seconds)
        os._exit(1)

    def handle(*_: object) -> None:
        if not stop.is_set():
            threading.Thread(target=end, daemon=True).start()
            loop.call_soon_threadsafe(stop.set)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handle)
    return stop


def _terminate() -> None:
    """Drain and end this process as a signal from outside does. From any thread."""
    log.error("nothing can be written any more: the process ends")
    # The main thread may sleep in a system call, which another thread's signal does not interrupt.
    signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)


async def _with_store(
    settings: Settings, use: Callable[[Store], Awaitable[str | None]]
) -> str | None:
    store = await open_store(settings)
    try:
        return await use(store)
    finally:
        await store.close()


async def _only_open(_: Store) -> None:
    """Opening the store has made its tables."""
