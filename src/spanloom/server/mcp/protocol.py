"""The messages of the protocol: which request a body is, and the answers to it.

Since the version 2026-07-28 each request stands alone: its version and its method are in the
headers as well. Clients of earlier versions begin with `initialize`; the server keeps nothing of
it. Source: modelcontextprotocol.io/specification/2026-07-28 and 2025-11-25.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from spanloom.model import Json

VERSION: Final = "2026-07-28"
# Of clients that begin with `initialize`.
EARLIER_VERSIONS: Final = ("2025-11-25", "2025-06-18", "2025-03-26", "2024-11-05")

PARSE_ERROR: Final = -32700
INVALID_REQUEST: Final = -32600
METHOD_NOT_FOUND: Final = -32601
INVALID_PARAMS: Final = -32602
INTERNAL_ERROR: Final = -32603
HEADER_MISMATCH: Final = -32020
UNSUPPORTED_VERSION: Final = -32022
# Of this server: the key is missing, not valid, or has the wrong role.
NOT_ALLOWED: Final = -32001

# The HTTP status of an error where it is not 400.
STATUS: Final = {METHOD_NOT_FOUND: 404}

_META_VERSION: Final = "io.modelcontextprotocol/protocolVersion"
_META_CAPABILITIES: Final = "io.modelcontextprotocol/clientCapabilities"
META_SERVER: Final = "io.modelcontextprotocol/serverInfo"
_BASE64: Final = ("=?base64?", "?=")


class ProtocolError(Exception):
    """An error of JSON-RPC.

    Args:
        request_id: The id of the request, None if it has none that can be read.
    """

    def __init__(
        self, code: int, message: str, data: Json = None, request_id: str | int | None = None
    ) -> None:
        super().__init__(message)
        self.code, self.message, self.data, self.request_id = code, message, data, request_id


@dataclass(frozen=True, slots=True)
class Request:
    """A request of a client.

    Attributes:
        id: None for a notification, which has no answer.
        is_modern: Whether it is one of 2026-07-28, which stands alone.
    """

    id: str | int | None
    method: str
    params: Mapping[str, Any]
    is_modern: bool


def request_in(body: Any, headers: Mapping[str, str]) -> Request | None:
    """The request that a body is; None for a client's answer, of which the server asked nothing.

    Args:
        body: The JSON of the body.
        headers: Their names in lower case.

    Raises:
        ProtocolError: The body is no request, or its headers contradict it.
    """
    if not isinstance(body, dict) or body.get("jsonrpc") != "2.0":
        raise ProtocolError(INVALID_REQUEST, "the body must be one JSON-RPC 2.0 object")
    method, given_id = body.get("method"), body.get("id")
    if method is None and ("result" in body or "error" in body):
        return None
    request_id = given_id if isinstance(given_id, str) or type(given_id) is int else None
    if not isinstance(method, str) or ("id" in body and request_id is None):
        raise ProtocolError(INVALID_REQUEST, "`method` must be a string, `id` one or an integer")
    params = body.get("params", {})
    if not isinstance(params, dict):
        raise ProtocolError(INVALID_PARAMS, "`params` must be an object", request_id=request_id)
    is_modern = _is_modern(method, params, headers)
    if is_modern and request_id is not None:
        _check_envelope(method, params, headers, request_id)
    elif not is_modern:
        _check_earlier_version(headers, request_id)
    return Request(request_id, method, params, is_modern)


def result_of(request: Request, result: dict[str, Any], server: dict[str, str]) -> dict[str, Any]:
    """The answer to a request."""
    if request.is_modern:
        result = {"resultType": "complete", "_meta": {META_SERVER: server}, **result}
    return {"jsonrpc": "2.0", "id": request.id, "result": result}


def error_of(error: ProtocolError) -> dict[str, Any]:
    """The answer to a request that failed."""
    told: dict[str, Any] = {"code": error.code, "message": error.message}
    if error.data is not None:
        told["data"] = error.data
    return {"jsonrpc": "2.0", "id": error.request_id, "error": told}


def version_for(asked: object) -> str:
    """The version that the answer to `initialize` names: the one that was asked for, or the newest
    that begins so."""
    return next((one for one in EARLIER_VERSIONS if one == asked), EARLIER_VERSIONS[0])


def _is_modern(method: str, params: Mapping[str, Any], headers: Mapping[str, str]) -> bool:
    if method == "initialize":
        return False
    version = headers.get("mcp-protocol-version")
    meta = params.get("_meta")
    in_body = isinstance(meta, dict) and _META_VERSION in meta
    return method == "server/discover" or in_body or version == VERSION


def _check_envelope(
    method: str, params: Mapping[str, Any], headers: Mapping[str, str], request_id: str | int
) -> None:
    meta = params.get("_meta")
    missing = [
        key
        for key in (_META_VERSION, _META_CAPABILITIES)
        if not isinstance(meta, dict) or key not in meta
    ]
    if not isinstance(meta, dict) or missing:
        named = ", ".join(missing)
        raise ProtocolError(INVALID_PARAMS, f"params._meta needs {named}", request_id=request_id)
    version = meta[_META_VERSION]
    told = {
        "mcp-protocol-version": (headers.get("mcp-protocol-version"), version),
        "mcp-method": (headers.get("mcp-method"), method),
    }
    if method == "tools/call" and "name" in params:
        told["mcp-name"] = (_plain(headers.get("mcp-name")), params["name"])
    for name, (in_header, in_body) in told.items():
        if in_header is None or in_header != in_body:
            raise ProtocolError(
                HEADER_MISMATCH,
                f"the header {name} must say what the body says",
                request_id=request_id,
            )
    if version != VERSION:
        raise _unsupported(version, request_id)


def _check_earlier_version(headers: Mapping[str, str], request_id: str | int | None) -> None:
    version = headers.get("mcp-protocol-version")
    if version is not None and version not in EARLIER_VERSIONS:
        raise _unsupported(version, request_id)


def _unsupported(version: Json, request_id: str | int | None) -> ProtocolError:
    supported: list[Json] = [VERSION, *EARLIER_VERSIONS]
    data: Json = {"supported": supported, "requested": version}
    told = "the protocol version is not supported"
    return ProtocolError(UNSUPPORTED_VERSION, told, data, request_id)


def _plain(text: str | None) -> str | None:
    """A header's value, which is in Base64 where a header cannot hold it as it is."""
    start, end = _BASE64
    if text is None or not (text.startswith(start) and text.endswith(end)):
        return text
    try:
        return base64.b64decode(text[len(start) : -len(end)], validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        return None
