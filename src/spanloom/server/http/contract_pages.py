"""The contract for programs: `/openapi.json`, and `/descriptor.binpb` for gateways."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import cache

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from spanloom.server.http.openapi import descriptor_set, document
from spanloom.server.http.request import metadata_of
from spanloom.server.http.transcode import JSON, PROTOBUF
from spanloom.server.methods import Method
from spanloom.server.middleware import REQUEST_ID, request_id_of


def contract_routes(methods: Sequence[Method]) -> list[Route]:
    """The routes of both; they need no key."""
    return [
        Route("/openapi.json", _page(lambda: orjson.dumps(document(methods)), JSON)),
        Route("/descriptor.binpb", _page(lambda: descriptor_set(methods), PROTOBUF)),
    ]


def _page(make: Callable[[], bytes], media_type: str) -> Callable[[Request], Awaitable[Response]]:
    made_once = cache(make)

    async def page(request: Request) -> Response:
        body = made_once()  # 10 ms, once
        headers = {REQUEST_ID: request_id_of(metadata_of(request.scope))}
        return Response(body, media_type=media_type, headers=headers)

    return page
