"""The wiring of store, services and servers, and the life of a server in one process."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from functools import wraps
from importlib.metadata import version
from urllib.parse import urlsplit

import structlog

from spanloom.adapters.restore import reread, restore
from spanloom.config import Settings, split_address
from spanloom.errors import SetupError
from spanloom.evaluation import judge
from spanloom.evaluation.runner import evaluate_until
from spanloom.evaluation.sandbox import ChildSettings, Sandbox
from spanloom.forwarding.forwarder import Forwarding, forward_until
from spanloom.forwarding.own_spans import send_own_spans_until
from spanloom.forwarding.receiver import Receiver, receiver
from spanloom.genai.own_prices import EVERY_PROJECT, set_prices
from spanloom.model import api_keys
from spanloom.model.addresses import is_loopback, networks
from spanloom.model.projects import DEFAULT_PROJECT, INSTANCE
from spanloom.redaction.rules_file import read_rules
from spanloom.server import gc_tuning, memory
from spanloom.server.auth import ApiKeyAuthenticator, NoAuth
from spanloom.server.certificates import Certificates, TlsFiles
from spanloom.server.grpc.server import GrpcServer
from spanloom.server.health import Health
from spanloom.server.http.app import http_app
from spanloom.server.http.connections import HttpLimits
from spanloom.server.http.server import HttpServer
from spanloom.server.http.uploads import upload_routes
from spanloom.server.key_uses import KeyUses
from spanloom.server.listener import listen, with_port
from spanloom.server.mcp.endpoint import McpEndpoint
from spanloom.server.methods import Method, method_table
from spanloom.server.middleware import Middleware
from spanloom.server.rates import Rates
from spanloom.server.sign_in import link_token
from spanloom.server.ui.pages import Pages
from spanloom.services.agent_chat import AgentChatService
from spanloom.services.agent_spans import AgentSpanService
from spanloom.services.attachments import AttachmentService
from spanloom.services.catalog import CatalogService
from spanloom.services.catalog_arrays import CatalogArrayService
from spanloom.services.chats import ChatService
from spanloom.services.datapoints import DatapointService
from spanloom.services.datasets import DatasetService
from spanloom.services.evaluators import EvaluatorService
from spanloom.services.events import EventService
from spanloom.services.experiments import ExperimentService
from spanloom.services.feedback import FeedbackService
from spanloom.services.files import FileService
from spanloom.services.jaeger import JaegerService
from spanloom.services.jaeger_v3 import JaegerV3Service
from spanloom.services.keys import KeyService
from spanloom.services.otlp import OTLP_SERVICE, OtlpTraceService
from spanloom.services.otlp_logs import LOGS_SERVICE, OtlpLogsService
from spanloom.services.otlp_metrics import METRICS_SERVICE, OtlpMetricsService
from spanloom.services.price_file import read_prices
from spanloom.services.prices import PriceService
from spanloom.services.projects import ProjectService
from spanloom.services.prompts import PromptService
from spanloom.services.query import Limits, QueryService
from spanloom.services.redaction import Redaction
from spanloom.services.reviews import ReviewService
from spanloom.services.runs import RunService
from spanloom.services.sessions import SessionService
from spanloom.services.spans import SpanService
from spanloom.services.tails.follower import Follower
from spanloom.services.trace_export import TraceExportService
from spanloom.services.traces import TraceService
from spanloom.store.store import Store
from spanloom.tracing import Recorder

log = structlog.get_logger("spanloom")

_REPORT_SECONDS = 0.5
# Services whose calls bring no content: what they store are settings of operators.
_NO_CONTENT = frozenset(("KeyService", "PriceService", "ProjectService"))


@dataclass(frozen=True, slots=True)
class Started:
    """A server that listens.

    Attributes:
        first_key: The store's first key if this start created it; it is printed only now.
        link_token: Signs a person in to the web page, once; None if the server needs no key, or
            listens to other machines, where others may read what it prints.
    """

    grpc_address: str
    http_address: str
    first_key: str | None
    link_token: str | None = None


@dataclass(frozen=True, slots=True)
class Running(Started):
    """A server that runs in this process, with its store and its limits."""

    store: Store = field(kw_only=True)
    rates: Rates = field(kw_only=True)


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
    public_url: str = "",
    scheme: str = "http",
    redaction: Redaction | None = None,
) -> list[Method]:
    """All methods of the contract, answered from one store. What they store is redacted before.

    Args:
        redaction: As the settings say; None for that of the default settings.
        logs_and_metrics: Whether OpenTelemetry's logs and metrics are served.
        public_url: As of Settings.
        scheme: Of the HTTP port.
    """
    redaction = redaction or Redaction(store)
    follower = Follower(store)
    catalog = CatalogService(store)
    signals = {LOGS_SERVICE: OtlpLogsService(store), METRICS_SERVICE: OtlpMetricsService(catalog)}
    table = method_table(
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
            "spanloom.v1.KeyService": KeyService(store),
            "spanloom.v1.AttachmentService": AttachmentService(store),
            "spanloom.v1.ProjectService": ProjectService(store, redaction),
            "spanloom.v1.RunService": RunService(store),
            "spanloom.v1.AgentSpanService": AgentSpanService(store),
            "spanloom.v1.DatapointService": DatapointService(store),
            "spanloom.v1.PriceService": PriceService(store),
            "spanloom.v1.FileService": FileService(store, public_url, scheme),
            "spanloom.v1.JaegerService": JaegerService(store),
            "spanloom.v1.JaegerV3Service": JaegerV3Service(store),
            "spanloom.v1.CatalogService": catalog,
            "spanloom.v1.CatalogArrayService": CatalogArrayService(catalog),
            OTLP_SERVICE: OtlpTraceService(store),
            **(signals if logs_and_metrics else {}),
        },
        roles=dict.fromkeys((OTLP_SERVICE, *signals), "ingest"),
    )
    return [_redacting(method, redaction) for method in table]


def _redacting(method: Method, redaction: Redaction) -> Method:
    """The method with its requests redacted, if it stores content."""
    service = method.descriptor.containing_service.name
    if method.is_read or service in _NO_CONTENT:
        return method
    guard = redaction.guarded_stream if method.takes_many else redaction.guarded
    return replace(method, answer=wraps(method.answer)(guard(method.answer)))


def redaction_of(settings: Settings, store: Store) -> Redaction:
    """What is redacted of requests, as the settings say.

    Raises:
        SetupError: The file of rules is wrong.
    """
    rules = read_rules(settings.redaction)
    return Redaction(store, credentials=settings.redact_credentials, rules=rules)


async def open_store(
    settings: Settings, *, migrate: bool = True, newer: bool = False, durable: bool = True
) -> Store:
    """The store of the settings; the others as of `Store.open`."""
    return await Store.open(
        settings.database,
        control_url=settings.control_database,
        restore=restore,
        reread=reread,
        migrate=migrate,
        newer=newer,
        durable=durable,
        queue_rows=settings.queue_rows,
        queue_bytes=settings.queue_bytes,
        max_event_bytes=settings.max_event_bytes,
        read_url=settings.read_database,
        stale_reads=settings.stale_reads,
    )


@contextlib.asynccontextmanager
async def running(settings: Settings, sockets: Sockets | None = None) -> AsyncIterator[Running]:
    """Open the store and listen on both addresses; at the end drain, stop and close.

    Args:
        sockets: Given to one of several workers, for which the store was prepared before.
    """
    certificates = _certificates(settings)
    set_prices(EVERY_PROJECT, read_prices(settings.prices))
    judge.configure(settings.judge_base_url, settings.judge_api_key, settings.judge_model)
    # A worker that is started again works beside a newer schema as those do that live on.
    store = await open_store(settings, migrate=sockets is None, newer=True)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        recorder = Recorder(settings.tracing_ratio) if settings.tracing_url else None
        uses = KeyUses(store)
        stack.push_async_callback(uses.write)
        cors_origins = [o.strip() for o in settings.cors_origins.split(",") if o.strip()]
        rates = Rates(store.limits, *settings.limits, processes=settings.workers)
        await rates.look()
        middleware = Middleware(
            NoAuth(cors_origins)
            if settings.no_auth
            else ApiKeyAuthenticator(store, settings.max_failed_keys, uses.note),
            timeout=settings.request_timeout,
            max_in_flight=settings.max_in_flight,
            max_streams=settings.max_streams,
            max_calls_per_key=settings.max_calls_per_key,
            max_bytes_in_flight=settings.max_bytes_in_flight,
            target_latency=settings.target_latency,
            is_deleting=store.erasure.is_deleting,
            recorder=recorder,
            rates=rates,
        )
        health = Health()
        table = methods(
            store,
            Limits(settings.max_request_bytes, settings.request_timeout),
            logs_and_metrics=settings.accept_logs_and_metrics,
            public_url=settings.public_url,
            scheme="https" if settings.tls_certificate else "http",
            redaction=redaction_of(settings, store),
        )
        grpc_server = GrpcServer(
            table,
            middleware,
            max_request_bytes=settings.max_request_bytes,
            shared_port=sockets is not None,
            max_connection_age=settings.max_connection_age,
            certificates=certificates,
            handshake_seconds=settings.header_timeout,
        )
        pages = _pages(settings, store)
        mcp = McpEndpoint(
            table, middleware, origins=cors_origins, known_host=pages.knows, has_page=True
        )
        http_server = HttpServer(
            http_app(
                table,
                middleware,
                health=health,
                max_request_bytes=settings.max_request_bytes,
                cors_origins=cors_origins,
                routes=[*mcp.routes(), *upload_routes(store.files, middleware)],
                ui=pages,
            ),
            _http_limits(settings),
            health,
            certificates,
        )
        grpc_address, http_address = settings.grpc_address, settings.http_address
        if sockets:
            grpc_address = with_port(grpc_address, sockets.grpc)
        # Known before the port is open: a worker that replaces another shares the port with those
        # that serve, and a health check that reaches it first must not read NOT_SERVING.
        await health.check(store.ready)
        await grpc_server.set_serving(health.is_ready)
        grpc_address = await grpc_server.start(grpc_address)
        stack.push_async_callback(grpc_server.stop, settings.drain_timeout)
        listener = None
        if sockets:
            listener = listen(with_port(http_address, sockets.http), shared=True)
        http_address = await http_server.start(http_address, listener)
        stack.push_async_callback(http_server.stop, settings.drain_timeout)
        # Created last: it is printed once, and a failed start must not consume it.
        new_key = None if settings.no_auth or sockets else await first_key(store)
        link = None if sockets else await sign_in_link(settings, store)
        for watch in (health.watch(store.ready), _report(health, grpc_server), uses.watch()):
            stack.callback(asyncio.create_task(watch).cancel)
        stop, background = asyncio.Event(), []
        deletions = asyncio.create_task(store.erasure.watch_until(stop))
        stack.callback(deletions.cancel)
        collecting = asyncio.create_task(gc_tuning.collect_forever(lambda: middleware.is_busy))
        stack.callback(collecting.cancel)
        for watch in (middleware.pace.watch(), rates.watch(), memory.give_back()):
            stack.callback(asyncio.create_task(watch).cancel)
        if sockets is None:  # several workers have a process beside them for this
            indexing = asyncio.create_task(store.follow_until(stop, settings.retention_days))
            background.append(indexing)
            stack.push_async_callback(_stopped, indexing)
        if sockets is None and (forwarding := forwarding_of(settings)):
            sending = asyncio.create_task(forward_until(stop, store, forwarding))
            background.append(sending)
            stack.push_async_callback(_stopped, sending)
        if recorder:
            to = _receiver(settings, "tracing")
            own_spans = send_own_spans_until(stop, recorder, to, version("spanloom"))
            background.append(asyncio.create_task(own_spans))
            stack.push_async_callback(_stopped, background[-1])
        if settings.evaluate:
            sandbox = Sandbox(_evaluators(settings))
            stack.push_async_callback(sandbox.close)
            evaluating = asyncio.create_task(
                evaluate_until(stop, store, settings.evaluation_lease, sandbox)
            )
            background.append(evaluating)
            stack.push_async_callback(_stopped, evaluating)
        yield Running(grpc_address, http_address, new_key, link, store=store, rates=rates)
        until = time.monotonic() + settings.drain_timeout
        log.info("draining", seconds=settings.drain_timeout)
        middleware.drain()
        health.close()
        stop.set()
        await grpc_server.set_serving(False)
        if middleware.was_called_within(settings.lame_duck):
            # New calls are answered UNAVAILABLE for a moment before gRPC stops: those that are on
            # their way then would be CANCELLED, which clients do not repeat.
            await asyncio.sleep(min(settings.lame_duck, settings.drain_timeout))
        left = max(0.0, until - time.monotonic())
        await asyncio.gather(
            grpc_server.stop(left),
            http_server.stop(left),
            *(asyncio.wait([task], timeout=left) for task in background),
        )


async def sign_in_link(settings: Settings, store: Store) -> str | None:
    """The token of a new link, where one may be printed."""
    is_local = is_loopback(split_address(settings.http_address)[0])
    return await link_token(store) if is_local and not settings.no_auth else None


def _pages(settings: Settings, store: Store) -> Pages:
    return Pages(
        None if settings.no_auth else store,
        any_host=not is_loopback(split_address(settings.http_address)[0]),
        hosts=[host.strip() for host in settings.ui_hosts.split(",") if host.strip()],
    )


def check(settings: Settings) -> None:
    """Try what is read from settings when a server starts.

    Raises:
        SetupError: One is wrong.
    """
    forwarding_of(settings)
    if settings.tracing_url:
        _receiver(settings, "tracing")
    _certificates(settings)
    read_prices(settings.prices)


def forwarding_of(settings: Settings) -> Forwarding | None:
    """Where what is stored goes on to, if anywhere."""
    if not settings.forward_url:
        return None
    projects = {name.strip() for name in settings.forward_projects.split(",")} - {""}
    return Forwarding(_receiver(settings, "forward"), frozenset(projects) or None)


def _receiver(settings: Settings, name: str) -> Receiver:
    """The receiver of the settings NAME_url and NAME_headers."""
    url, headers = (getattr(settings, f"{name}_{part}") for part in ("url", "headers"))
    to = receiver(url, headers, name)
    if urlsplit(to.url).netloc == settings.http_address:
        raise SetupError(f"{name}_url is the address of this server itself")
    return to


def _certificates(settings: Settings) -> Certificates | None:
    if not settings.tls_certificate:
        return None
    files = TlsFiles(settings.tls_certificate, settings.tls_key, settings.tls_client_ca)
    return Certificates(files)


def _evaluators(settings: Settings) -> ChildSettings:
    return ChildSettings(
        judge=(settings.judge_base_url, settings.judge_api_key, settings.judge_model),
        cpu_seconds=settings.evaluator_cpu_seconds,
        memory_bytes=settings.evaluator_memory_bytes,
    )


def _http_limits(settings: Settings) -> HttpLimits:
    return HttpLimits(
        connections=settings.max_connections,
        address_connections=settings.max_connections_per_address,
        header_bytes=settings.max_header_bytes,
        url_bytes=settings.max_url_bytes,
        header_seconds=settings.header_timeout,
        body_seconds=settings.body_timeout,
        write_seconds=settings.write_timeout,
        trusted_proxies=networks(settings.trusted_proxies),
    )


async def _report(health: Health, grpc_server: GrpcServer) -> None:
    """Report the health of this process as that of gRPC, until cancelled."""
    while True:
        await asyncio.sleep(_REPORT_SECONDS)
        await grpc_server.set_serving(health.is_ready)


async def _stopped(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])


async def first_key(store: Store) -> str | None:
    """Create an instance key and the project `default`, if the store never had a key."""
    if await store.list_keys():
        return None
    key, text = api_keys.new_key(INSTANCE, "admin")
    await store.ensure_project(DEFAULT_PROJECT)
    await store.create_key(key)
    return text
