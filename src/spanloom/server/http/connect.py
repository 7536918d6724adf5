"""Connect's own forms: errors as JSON, the end of a stream, timeouts, and the query of a GET."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
from google.protobuf import json_format
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc import code_pb2, status_pb2

from spanloom.errors import Code, Reason, SpanloomError
from spanloom.server.http.envelope import sealed
from spanloom.server.http.exchange import Protocol

_END: Final = 2
_VERSION: Final = "connect-protocol-version"
_MOST_DIGITS: Final = 10


def error_json(error: status_pb2.Status) -> dict[str, Any]:
    """An error as Connect writes it; `debug` repeats a detail for people."""
    name = code_pb2.Code.Name(error.code).lower()
    found: dict[str, Any] = {
        "code": "canceled" if name == "cancelled" else name,
        "message": error.message,
    }
    if error.details:
        found["details"] = [_detail(detail) for detail in error.details]
    return found


def _detail(detail: AnyMessage) -> dict[str, Any]:
    return {
        "type": detail.TypeName(),
        "value": base64.b64encode(detail.value).decode().rstrip("="),
        "debug": json_format.MessageToDict(detail),
    }


def _time_left(metadata: Mapping[str, str]) -> float | None:
    text = metadata.get("connect-timeout-ms", "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise SpanloomError(
            Code.INVALID_ARGUMENT,
            Reason.INVALID_FIELD,
            f"connect-timeout-ms is up to {_MOST_DIGITS} digits, not {text[:100]!r}",
        )
    # A client whose deadline is in 99.9 ms sends 99, and has to be the first to see it pass.
    return (int(text) + 1) / 1000


def _end(error: status_pb2.Status | None, trailers: Sequence[tuple[str, str]]) -> bytes:
    found: dict[str, Any] = {}
    if error:
        found["error"] = error_json(error)
    for name, text in trailers:
        found.setdefault("metadata", {}).setdefault(name, []).append(text)
    return sealed(_END, orjson.dumps(found))


CONNECT: Final = Protocol(
    "connect", "connect-content-encoding", "connect-accept-encoding", _time_left, _end
)


def check_version(metadata: Mapping[str, str], query: Mapping[str, str]) -> None:
    """Check that the client speaks this version of the protocol, if it names one.

    Raises:
        SpanloomError: INVALID_ARGUMENT.
    """
    for version, known in ((metadata.get(_VERSION), "1"), (query.get("connect"), "v1")):
        if version not in (None, known):
            raise SpanloomError(
                Code.INVALID_ARGUMENT,
                Reason.UNSUPPORTED_ENCODING,
                f"the version of the Connect protocol is {known}, not {version[:100]!r}",
            )


def message_in(query: Mapping[str, str]) -> bytes:
    """The bytes of the message in the query of a GET.

    Raises:
        SpanloomError: MALFORMED_BODY if they are not the base64 that the query states.
    """
    text = query.get("message", "")
    if query.get("base64") != "1":
        return text.encode(errors="surrogateescape")
    try:
        padding = "=" * (-len(text) % 4)
        return base64.b64decode(text + padding, altchars="-_", validate=True)
    except (binascii.Error, ValueError):
        raise SpanloomError(
            Code.INVALID_ARGUMENT, Reason.MALFORMED_BODY, "the message is not URL-safe base64"
        ) from None
