"""The wiring of store, services and servers, and the life of a server from start to drain."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson
import structlog

from spanloom.adapters.restore import reread, restore
from spanloom.config import Settings
from spanloom.evaluation import judge
from spanloom.evaluation.runner import evaluate_until
from spanloom.model import api_keys
from spanloom.model.projects import DEFAULT_PROJECT, INSTANCE
from spanloom.server import gc_tuning
from spanloom.server.auth import ApiKeyAuthenticator, NoAuth
from spanloom.server.grpc.server import GrpcServer
from spanloom.server.http.app import http_app
from spanloom.server.http.server import HttpServer
from spanloom.server.listener import listen, reserve, with_port
from spanloom.server.methods import Method, method_table
from spanloom.server.middleware import Middleware
from spanloom.server.supervisor import Supervisor
from spanloom.services.agent_chat import AgentChatService
from spanloom.services.agent_spans import AgentSpanService
from spanloom.services.chats import ChatService
from spanloom.services.datapoints import DatapointService
from spanloom.services.datasets import DatasetService
from spanloom.services.evaluators import EvaluatorService
from spanloom.services.events import EventService
from spanloom.services.experiments import ExperimentService
from spanloom.services.feedback import FeedbackService
from spanloom.services.otlp import OTLP_SERVICE, OtlpTraceService
from spanloom.services.otlp_logs import LOGS_SERVICE, OtlpLogsService
from spanloom.services.otlp_metrics import METRICS_SERVICE, OtlpMetricsService
from spanloom.services.prompts import PromptService
from spanloom.services.query import Limits, QueryService
from spanloom.services.reviews import ReviewService
from spanloom.services.runs import RunService
from spanloom.services.sessions import SessionService
from spanloom.services.spans import SpanService
from spanloom.services.tails.follower import Follower
from spanloom.services.trace_export import TraceExportService
from spanloom.services.traces import TraceService
from spanloom.store.store import Store

log = structlog.get_logger("spanloom")

_READY_POLL_SECONDS = 1.0
# How long a thread that converts something large may hold the interpreter's lock, in seconds.
_SWITCH_INTERVAL = 0.001
# How far the process that indexes stays behind the workers where they need the cores.
_INDEXER_NICE = 10
# Beyond the drain: for the writer's queue, and to close the database.
_GRACE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Started:
    """A server that listens.

    Attributes:
        first_key: The store's first key if this start created it; it is printed only now.
    """

    grpc_address: str
    http_address: str
    first_key: str | None


@dataclass(frozen=True, slots=True)
class Running(Started):
    """A server that runs in this process, with its store."""

    store: Store


@dataclass(frozen=True, slots=True)
class Sockets:
    """What workers share: bound sockets that keep the ports on which each of them listens."""

    grpc: socket.socket
    http: socket.socket


def methods(
    store: Store,
    limits: Limits = Limits(),  # noqa: B008 - frozen
    *,
    logs_and_metrics: bool = True,
) -> list[Method]:
    """All methods of the contract, answered from one store.

    Args:
        logs_and_metrics: Whether OpenTelemetry's logs and metrics are served.
    """
    follower = Follower(store)
    signals = {LOGS_SERVICE: OtlpLogsService(store), METRICS_SERVICE: OtlpMetricsService()}
    return method_table(
        {
            "spanloom.v1.TraceExportService": TraceExportService(store),
            "spanloom.v1.TraceService": TraceService(store),
            "spanloom.v1.EventService": EventService(store),
            "spanloom.v1.SessionService": SessionService(store),
            "spanloom.v1.AgentChatService": AgentChatService(store),
            "spanloom.v1.FeedbackService": FeedbackService(store),
            "spanloom.v1.ExperimentService": ExperimentService(store),
            "spanloom.v1.PromptService": PromptService(store),
            "spanloom.v1.EvaluatorService": EvaluatorService(store),
            "spanloom.v1.DatasetService": DatasetService(store),
            "spanloom.v1.SpanService": SpanService(store, follower),
            "spanloom.v1.ChatService": ChatService(store, follower),
            "spanloom.v1.QueryService": QueryService(store, limits),
            "spanloom.v1.ReviewService": ReviewService(store),
            "spanloom.v1.RunService": RunService(store),
            "spanloom.v1.AgentSpanService": AgentSpanService(store),
            "spanloom.v1.DatapointService": DatapointService(store),
            OTLP_SERVICE: OtlpTraceService(store),
            **(signals if logs_and_metrics else {}),
        },
        roles=dict.fromkeys((OTLP_SERVICE, *signals), "ingest"),
    )


async def open_store(settings: Settings, *, migrate: bool = True, durable: bool = True) -> Store:
    return await Store.open(
        settings.database,
        control_url=settings.control_database,
        restore=restore,
        reread=reread,
        migrate=migrate,
        durable=durable,
        queue_rows=settings.queue_rows,
        queue_bytes=settings.queue_bytes,
    )


@contextlib.asynccontextmanager
async def running(settings: Settings, sockets: Sockets | None = None) -> AsyncIterator[Running]:
    """Open the store and listen on both addresses; at the end drain, stop and close.

    Args:
        sockets: Given to one of several workers, for which the store was prepared before.
    """
    judge.configure(settings.judge_base_url, settings.judge_api_key, settings.judge_model)
    store = await open_store(settings, migrate=sockets is None)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        cors_origins = [o.strip() for o in settings.cors_origins.split(",") if o.strip()]
        middleware = Middleware(
            NoAuth(cors_origins) if settings.no_auth else ApiKeyAuthenticator(store),
            timeout=settings.request_timeout,
            max_in_flight=settings.max_in_flight,
            max_streams=settings.max_streams,
        )
        table = methods(
            store,
            Limits(settings.max_request_bytes, settings.request_timeout),
            logs_and_metrics=settings.accept_logs_and_metrics,
        )
        grpc_server = GrpcServer(
            table,
            middleware,
            max_request_bytes=settings.max_request_bytes,
            shared_port=sockets is not None,
            max_connection_age=settings.max_connection_age,
        )
        http_server = HttpServer(
            http_app(
                table,
                middleware,
                ready=store.ready,
                max_request_bytes=settings.max_request_bytes,
                cors_origins=cors_origins,
            )
        )
        grpc_address, http_address = settings.grpc_address, settings.http_address
        if sockets:
            grpc_address = with_port(grpc_address, sockets.grpc)
        # Known before the port is open: a worker that replaces another shares the port with those
        # that serve, and a health check that reaches it first must not read NOT_SERVING.
        await grpc_server.set_serving(await store.ready())
        grpc_address = await grpc_server.start(grpc_address)
        stack.push_async_callback(grpc_server.stop, settings.drain_timeout)
        listener = None
        if sockets:
            listener = listen(with_port(http_address, sockets.http), shared=True)
        http_address = await http_server.start(http_address, listener)
        stack.push_async_callback(http_server.stop, settings.drain_timeout)
        # Created last: it is printed once, and a failed start must not consume it.
        first_key = None if settings.no_auth or sockets else await _first_key(store)
        watch = asyncio.create_task(_watch(store, grpc_server))
        stack.callback(watch.cancel)
        stop, background = asyncio.Event(), []
        collecting = asyncio.create_task(gc_tuning.collect_forever(lambda: middleware.is_busy))
        stack.callback(collecting.cancel)
        if sockets is None:  # several workers have a process beside them for this
            indexing = asyncio.create_task(store.follow_until(stop))
            background.append(indexing)
            stack.push_async_callback(_stopped, indexing)
        if settings.evaluate:
            evaluating = asyncio.create_task(evaluate_until(stop, store, settings.evaluation_lease))
            background.append(evaluating)
            stack.push_async_callback(_stopped, evaluating)
        yield Running(grpc_address, http_address, first_key, store)
        log.info("draining", seconds=settings.drain_timeout)
        middleware.drain()
        stop.set()
        await grpc_server.set_serving(False)
        if middleware.was_called_within(settings.lame_duck):
            # New calls are answered UNAVAILABLE for a moment before gRPC stops: those that are on
            # their way then would be CANCELLED, which clients do not repeat.
            await asyncio.sleep(settings.lame_duck)
        await asyncio.gather(
            grpc_server.stop(settings.drain_timeout),
            http_server.stop(settings.drain_timeout),
            *(asyncio.wait([task], timeout=settings.drain_timeout) for task in background),
        )


def serve(settings: Settings, started: Callable[[Started], None]) -> bool:
    """Run until SIGINT or SIGTERM; False if a worker could not start (the log says why).

    Args:
        started: Is called when both addresses answer.
    """
    gc_tuning.tune_gc()
    sys.setswitchinterval(_SWITCH_INTERVAL)
    if settings.workers == 1:
        asyncio.run(_serve(settings, started))
        return True
    # Bound and prepared once, before the workers: there is one port, one schema, one first key.
    with reserve(settings.grpc_address) as grpc, reserve(settings.http_address) as http:
        asyncio.run(_with_store(settings, _only_open))

        def all_ready() -> None:
            # Created last: it is printed once, and a failed start must not consume it.
            first_key = None if settings.no_auth else asyncio.run(_with_store(settings, _first_key))
            grpc_address = with_port(settings.grpc_address, grpc)
            started(Started(grpc_address, with_port(settings.http_address, http), first_key))

        supervisor = Supervisor(
            settings.workers,
            lambda ready: asyncio.run(_serve(settings, lambda _: ready(), Sockets(grpc, http))),
            grace=settings.drain_timeout + _GRACE_SECONDS,
            beside=lambda ready: asyncio.run(_index(settings, ready)),
        )
        return supervisor.run(all_ready)


async def _serve(
    settings: Settings, started: Callable[[Running], None], sockets: Sockets | None = None
) -> None:
    stop = _stop_at_signals()
    async with running(settings, sockets) as server:
        started(server)
        await stop.wait()


async def _index(settings: Settings, ready: Callable[[], None]) -> None:
    """Fill the index of terms and the sums over spans until a signal, when the workers leave time
    for it."""
    os.nice(_INDEXER_NICE)
    stop = _stop_at_signals()
    store = await open_store(settings, migrate=False, durable=False)
    try:
        ready()
        await store.follow_until(stop)
    finally:
        await store.close()


def _stop_at_signals() -> asyncio.Event:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop


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


async def _watch(store: Store, grpc_server: GrpcServer) -> None:
    """Report the store's health as that of gRPC, until cancelled."""
    while True:
        await asyncio.sleep(_READY_POLL_SECONDS)
        await grpc_server.set_serving(await store.ready())


async def _stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def _first_key(store: Store) -> str | None:
    """Create an instance key and the project `default`, if the store never had a key."""
    if await store.list_keys():
        return None
    key, text = api_keys.new_key(INSTANCE, "admin")
    await store.ensure_project(DEFAULT_PROJECT)
    await store.create_key(key)
    return text


def _json_line(facts: dict[str, Any], **_: object) -> str:
    try:
        return orjson.dumps(facts, default=repr).decode()
    except TypeError:  # a lone surrogate in somebody's text, or a huge number
        return json.dumps(facts, default=repr)


class _NamedLogger(structlog.WriteLogger):
    """Writes lines to standard error; the name is for `add_logger_name`."""

    def __init__(self, name: str = "spanloom") -> None:
        super().__init__(sys.stderr)
        self.name = name


def configure_logging(settings: Settings) -> None:
    """Log one line a record on standard error, also for libraries; console is for people."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if settings.log_format == "json":
        last: list[structlog.typing.Processor] = [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(serializer=_json_line),
        ]
    else:
        # Rich's tracebacks take seconds on the event loop, and show the values of variables, also
        # keys.
        plain = structlog.dev.plain_traceback
        colors = sys.stderr.isatty()
        last = [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)]
    handler = logging.StreamHandler()
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.log_level.upper())
    for chatty in ("alembic", "uvicorn"):
        logging.getLogger(chatty).setLevel(max(logging.WARNING, root.level))
    # Not through logging's records and handlers, which cost three times as much for each line.
    structlog.configure(
        processors=[*shared, *last],
        logger_factory=_NamedLogger,
        wrapper_class=structlog.make_filtering_bound_logger(root.level),
        cache_logger_on_first_use=True,
    )
