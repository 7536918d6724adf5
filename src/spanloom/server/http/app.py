"""The HTTP server's app: the contract's methods, and other routes and mounts by Starlette."""

from __future__ import annotations

from collections.abc import Sequence

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from spanloom.server import status
from spanloom.server.call_log import log_refusal
from spanloom.server.health import Health
from spanloom.server.http.contract_pages import contract_routes
from spanloom.server.http.docs_page import docs_routes
from spanloom.server.http.request import metadata_of
from spanloom.server.http.rest import TRANSPORT, RestApp, target_of
from spanloom.server.http.transcode import JSON, RouteError
from spanloom.server.http.web_rpc import EXPOSED_HEADERS, WebRpcApp
from spanloom.server.methods import Method
from spanloom.server.middleware import REQUEST_ID, Middleware, request_id_of
from spanloom.server.ui.pages import Pages, not_stored


def http_app(
    methods: Sequence[Method],
    middleware: Middleware,
    *,
    health: Health,
    max_request_bytes: int,
    cors_origins: Sequence[str] = (),
    routes: Sequence[BaseRoute] = (),
    ui: Pages | None = None,
) -> ASGIApp:
    """An ASGI app with health, the pages of the contract, the given routes, and its methods.

    These are at the REST paths of the contract, and over Connect and gRPC-Web.

    Args:
        health: What `/healthz` and `/readyz` answer.
        cors_origins: Pages of these origins may call; "*" for all.
        routes: More routes and mounts, for paths that the contract does not have.
        ui: The web page.

    Raises:
        AnnotationError: The contract has a rule that cannot be served.
    """

    # The door answers these, but for requests that it leaves to the app.
    async def alive(request: Request) -> Response:
        return _health(request, health.is_alive)

    async def readiness(request: Request) -> Response:
        return _health(request, health.is_ready)

    rest = RestApp(methods, middleware, max_request_bytes=max_request_bytes)
    rpc = WebRpcApp(methods, middleware, max_request_bytes=max_request_bytes)
    pages = Starlette(
        routes=[
            Route("/healthz", alive),
            Route("/readyz", readiness),
            *contract_routes(methods),
            *docs_routes(),
            *routes,
            *(ui.routes(rest.refuse) if ui else ()),
        ],
        exception_handlers={404: _refuse, 405: _refuse},
    )
    pages.router.redirect_slashes = False
    pages.router.default = rest.refuse

    async def call_of_page(
        ui: Pages, called: Scope, scope: Scope, receive: Receive, send: Send
    ) -> None:
        route = rest.find(called)
        if refusal := ui.refusal(scope):
            await refusal(scope, receive, send)
        elif route:
            await rest.answer(route, called, receive, not_stored(send))
        else:
            await rest.refuse(called, receive, not_stored(send))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        # The contract is asked first: its own routers are tables, where Starlette tries one regular
        # expression after another, and most requests are for the contract.
        if method := rpc.find(scope):
            await rpc.answer(method, scope, receive, send)
        elif route := rest.find(scope):
            await rest.answer(route, scope, receive, send)
        elif ui and (called := ui.api(scope)):
            await call_of_page(ui, called, scope, receive, send)
        else:
            await pages(scope, receive, send)

    if not cors_origins:
        return app
    return CORSMiddleware(
        app,
        allow_origins=list(cors_origins),
        allow_methods=["*"],
        allow_headers=["*"],
        expose_headers=[
            *(REQUEST_ID, "x-ignored-fields", "x-total-is-lower-bound", "retry-after"),
            *EXPOSED_HEADERS,
        ],
    )


def _health(request: Request, healthy: bool) -> Response:
    return Response(
        orjson.dumps({"status": "ok" if healthy else "unavailable"}),
        status_code=200 if healthy else 503,
        media_type=JSON,
        headers={REQUEST_ID: request_id_of(metadata_of(request.scope))},
    )


async def _refuse(request: Request, error: Exception) -> Response:
    """What a route answers for a path or an HTTP method that it does not have."""
    headers = (error.headers if isinstance(error, HTTPException) else None) or {}
    allowed = [name.strip() for name in headers.get("Allow", "").split(",") if name.strip()]
    refusal = RouteError(request.method, request.url.path, allowed)
    request_id = request_id_of(metadata_of(request.scope))
    log_refusal(refusal, request_id, transport=TRANSPORT, target=target_of(request.scope))
    return Response(
        status.rest_body(refusal, request_id),
        status_code=status.http_status(refusal),
        media_type=JSON,
        headers={REQUEST_ID: request_id, **headers},
    )
