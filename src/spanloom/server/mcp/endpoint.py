"""The endpoint `/mcp`: one request and its answer, as JSON."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final

import orjson
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from spanloom.errors import Code, Reason, SpanloomError
from spanloom.model import Json
from spanloom.server.auth import without_port
from spanloom.server.call_log import log_refusal
from spanloom.server.funnel import as_error
from spanloom.server.http.request import ClientGoneError, metadata_of, read_body
from spanloom.server.http.response import error_headers
from spanloom.server.http.transcode import JSON
from spanloom.server.mcp import protocol
from spanloom.server.mcp.arguments import ArgumentError
from spanloom.server.mcp.calls import TRANSPORT, Calls
from spanloom.server.mcp.protocol import ProtocolError, Request
from spanloom.server.mcp.tools import INSTRUCTIONS, TOOLS
from spanloom.server.methods import Method
from spanloom.server.middleware import REQUEST_ID, Middleware, request_id_of
from spanloom.server.status import http_status
from spanloom.v1 import access_pb2

PATH: Final = "/mcp"
_MOST_BYTES: Final = 1 << 20
_READERS: Final = {access_pb2.ROLE_READ, access_pb2.ROLE_REVIEW, access_pb2.ROLE_ADMIN}
# How long a client may keep the list of tools, which only a new version of the server changes.
_LIST_MILLISECONDS: Final = 300_000
_NO_TRANSPORT: Final = "send POST with one JSON-RPC request; this server sends no streams"


class McpEndpoint:
    """The route `/mcp`.

    Args:
        origins: Web pages of these origins may call, and those of this server; "*" for all.
        known_host: Whether a request may name this host. A page of another site could reach the
            server by a name of its own otherwise.
    """

    def __init__(
        self,
        methods: Sequence[Method],
        middleware: Middleware,
        *,
        origins: Collection[str] = (),
        known_host: Callable[[str], bool] = lambda host: True,
        has_page: bool = False,
    ) -> None:
        self._methods = {method.full_name: method for method in methods}
        self._middleware = middleware
        self._origins = frozenset(origins)
        self._known_host = known_host
        self._has_page = has_page
        self._server = {"name": "spanloom", "title": "Spanloom", "version": version("spanloom")}

    def routes(self) -> list[BaseRoute]:
        return [
            Route(PATH, self._post, methods=["POST"]),
            Route(PATH, self._not_post, methods=["GET", "DELETE"]),
        ]

    async def _not_post(self, request: HttpRequest) -> Response:
        return Response(_NO_TRANSPORT, 405, {"allow": "POST"}, media_type="text/plain")

    async def _post(self, request: HttpRequest) -> Response:
        metadata = metadata_of(request.scope)
        request_id = request_id_of(metadata)
        if foreign := self._foreign(metadata):
            return _json(403, {"error": {"code": 403, "message": foreign}}, request_id)
        status, headers = 200, dict[str, str]()
        asked: Request | None = None
        try:
            page = f"{request.url.scheme}://{metadata.get('host', '')}" if self._has_page else ""
            calls = Calls(self._methods, self._middleware, metadata, request_id, page)
            await _check(calls)  # before the body is read
            with self._middleware.budget.held() as held:
                sent = await read_body(metadata, request.receive, _MOST_BYTES, held)
            asked = protocol.request_in(_parsed(sent), metadata)
            if asked is None or asked.id is None:
                return Response(status_code=202, headers={REQUEST_ID: request_id})
            result = await self._answer(asked, calls)
            body = protocol.result_of(asked, result, self._server)
        except ProtocolError as error:
            if asked:
                error.request_id = asked.id
            status, body = protocol.STATUS.get(error.code, 400), protocol.error_of(error)
        except ClientGoneError:
            return Response(status_code=400)  # nobody takes it
        except Exception as error:  # noqa: BLE001 - the funnel
            status, body, headers = self._failed(error, asked, request_id)
        return _json(status, body, request_id, headers)

    def _failed(
        self, error: Exception, asked: Request | None, request_id: str
    ) -> tuple[int, dict[str, Any], dict[str, str]]:
        """Status, body and headers for an error that is none of the protocol."""
        refusal = as_error(error, request_id, PATH)
        if asked is None:  # calls log themselves
            log_refusal(refusal, request_id, transport=TRANSPORT, target=f"POST {PATH}")
        code = protocol.NOT_ALLOWED if refusal.code in _REFUSED else protocol.INTERNAL_ERROR
        data: Json = {"reason": refusal.reason}
        told = ProtocolError(code, refusal.message, data, asked.id if asked else None)
        headers = {name.decode(): value.decode() for name, value in error_headers(refusal)}
        return http_status(refusal), protocol.error_of(told), headers

    async def _answer(self, asked: Request, calls: Calls) -> dict[str, Any]:
        """The result of a request.

        Raises:
            ProtocolError: The request is wrong.
            SpanloomError: A call failed.
        """
        match asked.method:
            case "server/discover":
                return {
                    "supportedVersions": [protocol.VERSION],
                    "capabilities": {"tools": {}},
                    "instructions": INSTRUCTIONS,
                    **_KEPT,
                }
            case "initialize":
                return {
                    "protocolVersion": protocol.version_for(asked.params.get("protocolVersion")),
                    "capabilities": {"tools": {}},
                    "serverInfo": self._server,
                    "instructions": INSTRUCTIONS,
                }
            case "ping" if not asked.is_modern:
                return {}
            case "tools/list":
                tools = [tool.described() for tool in TOOLS.values()]
                return {"tools": tools, **(_KEPT if asked.is_modern else {})}
            case "tools/call":
                return await self._call(asked, calls)
        raise ProtocolError(protocol.METHOD_NOT_FOUND, f"there is no method {asked.method[:100]!r}")

    async def _call(self, asked: Request, calls: Calls) -> dict[str, Any]:
        name = asked.params.get("name")
        tool = TOOLS.get(name) if isinstance(name, str) else None
        if tool is None:
            near = difflib.get_close_matches(str(name)[:100], TOOLS, n=1)
            said = f"did you mean {near[0]}?" if near else f"there are {', '.join(TOOLS)}"
            raise ProtocolError(
                protocol.INVALID_PARAMS, f"there is no tool {str(name)[:100]!r}: {said}"
            )
        try:
            return _told(await tool.run(calls, asked.params.get("arguments") or {}))
        except ArgumentError as error:
            return _told(str(error), failed=True)
        except SpanloomError as error:
            if error.code in _REFUSED:
                raise
            return _told(error.message, failed=True)

    def _foreign(self, metadata: Mapping[str, str]) -> str:
        """Why a request is not answered that a web page of another site may have sent; "" if it is
        answered."""
        host, origin = metadata.get("host", ""), metadata.get("origin", "")
        if not self._known_host(without_port(host)):
            return f"this server has no name {host[:100]!r}"
        own = origin.partition("://")[2] == host
        if origin and not own and not self._origins & {origin, "*"}:
            return f"web pages of {origin[:100]!r} may not call"
        return ""


async def _check(calls: Calls) -> None:
    """
    Raises:
        SpanloomError: The caller may not read.
    """
    caller = await calls.caller()
    if not _READERS & set(caller.roles):
        raise SpanloomError(
            Code.PERMISSION_DENIED, Reason.ROLE_NOT_ALLOWED, "the key needs the role read"
        )


_KEPT: Final = {"ttlMs": _LIST_MILLISECONDS, "cacheScope": "private"}
# The codes of errors of a caller who may not call.
_REFUSED: Final = {Code.UNAUTHENTICATED, Code.PERMISSION_DENIED}


def _told(text: str, *, failed: bool = False) -> dict[str, Any]:
    return {"content": [{"type": "text", "text": text}], "isError": failed}


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise ProtocolError(protocol.PARSE_ERROR, f"the body is no JSON: {error}") from None


def _json(
    status: int, body: dict[str, Any], request_id: str, headers: Mapping[str, str] | None = None
) -> Response:
    every = {REQUEST_ID: request_id, "cache-control": "no-store", **(headers or {})}
    return Response(orjson.dumps(body), status, every, media_type=JSON)
