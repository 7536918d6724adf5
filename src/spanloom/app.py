"""The wiring: one place where store, services and servers meet, and the life of a server from start to drain."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import structlog

from spanloom.config import Settings
from spanloom.evaluation import evaluate_forever
from spanloom.evaluators import judge
from spanloom.server.grpc_server import GrpcServer
from spanloom.server.keyring import KeyRing, OpenDoor
from spanloom.server.methods import Method, method_table
from spanloom.server.middleware import Middleware
from spanloom.server.rest_app import RestServer
from spanloom.services import keys
from spanloom.services.agent_chat import AgentChatService
from spanloom.services.call import DEFAULT_PROJECT, INSTANCE
from spanloom.services.evaluators import EvaluatorService
from spanloom.services.events import EventService
from spanloom.services.experiments import ExperimentService
from spanloom.services.feedback import FeedbackService
from spanloom.services.otlp import OTLP_SERVICE, OtlpTraceService
from spanloom.services.prompts import PromptService
from spanloom.services.sessions import SessionService
from spanloom.services.traces import TraceService
from spanloom.store.store import Store

log = structlog.get_logger("spanloom")

_READY_POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Running:
    """A server that listens. `first_key` is set when this start made the store's first key; it is shown this once."""

    grpc_address: str
    http_address: str
    first_key: str | None
    store: Store


def methods(store: Store) -> list[Method]:
    """The whole contract, answered from one store."""
    return method_table(
        {
            "spanloom.v1.TraceService": TraceService(store),
            "spanloom.v1.EventService": EventService(store),
            "spanloom.v1.SessionService": SessionService(store),
            "spanloom.v1.AgentChatService": AgentChatService(store),
            "spanloom.v1.FeedbackService": FeedbackService(store),
            "spanloom.v1.ExperimentService": ExperimentService(store),
            "spanloom.v1.PromptService": PromptService(store),
            "spanloom.v1.EvaluatorService": EvaluatorService(store),
            OTLP_SERVICE: OtlpTraceService(store),
        },
        roles={OTLP_SERVICE: "ingest"},
    )


async def open_store(settings: Settings) -> Store:
    return await Store.open(
        settings.database, queue_rows=settings.queue_rows, queue_bytes=settings.queue_bytes
    )


@contextlib.asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Running]:
    """Open the store, listen on both addresses, and on the way out drain, stop and close, in this order."""
    judge.configure(settings.judge_base_url, settings.judge_api_key, settings.judge_model)
    store = await open_store(settings)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        middleware = Middleware(
            OpenDoor() if settings.no_auth else KeyRing(store),
            timeout=settings.request_timeout,
            max_in_flight=settings.max_in_flight,
        )
        table = methods(store)
        grpc_server = GrpcServer(table, middleware, max_request_bytes=settings.max_request_bytes)
        rest_server = RestServer(
            table,
            middleware,
            ready=store.ready,
            max_request_bytes=settings.max_request_bytes,
            cors_origins=[o.strip() for o in settings.cors_origins.split(",") if o.strip()],
        )
        grpc_address = await grpc_server.start(settings.grpc_address)
        stack.push_async_callback(grpc_server.stop, settings.drain_timeout)
        http_address = await rest_server.start(settings.http_address)
        stack.push_async_callback(rest_server.stop, settings.drain_timeout)
        await grpc_server.set_serving(await store.ready())
        # Last, so that a start that fails has not spent the one time that the key is shown.
        first_key = None if settings.no_auth else await _first_key(store)
        watch = asyncio.create_task(_watch(store, grpc_server))
        stack.callback(watch.cancel)
        if settings.evaluate:
            evaluating = asyncio.create_task(evaluate_forever(store, settings.evaluation_lease))
            stack.push_async_callback(_stopped, evaluating)
        yield Running(grpc_address, http_address, first_key, store)
        log.info("draining", seconds=settings.drain_timeout)
        middleware.draining = True
        await asyncio.gather(
            grpc_server.stop(settings.drain_timeout), rest_server.stop(settings.drain_timeout)
        )


async def serve(settings: Settings, started: Callable[[Running], None]) -> None:
    """Run until SIGINT or SIGTERM. `started` is called once both addresses answer."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    async with running(settings) as server:
        started(server)
        await stop.wait()


async def _watch(store: Store, grpc_server: GrpcServer) -> None:
    """Keep gRPC health equal to the store's."""
    while True:
        await asyncio.sleep(_READY_POLL_SECONDS)
        await grpc_server.set_serving(await store.ready())


async def _stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def _first_key(store: Store) -> str | None:
    """On an empty store: the project `default` and an instance key. A store that has keys, or had them, is left alone."""
    if await store.list_keys():
        return None
    key, text = keys.new_key(INSTANCE, "admin")
    await store.ensure_project(DEFAULT_PROJECT)
    await store.create_key(key)
    return text


def configure_logging(settings: Settings) -> None:
    """One line a record on standard error, for people (console) or programs (json); libraries' own logs go the same way."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    if settings.log_format == "json":
        last: list[structlog.typing.Processor] = [
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ]
    else:
        last = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
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
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
