"""How an error is written on the wire: codes, google.rpc.Status, and the one REST body."""

from __future__ import annotations

from collections.abc import Callable
from functools import _lru_cache_wrapper, lru_cache
from typing import Any, NamedTuple, TypeVar

import grpc
import orjson
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from spanloom.errors import Code, Reason, SpanloomError, Violation
from spanloom.model import uuid7

DOMAIN = "spanloom"
REASON_PREFIX = "ERROR_REASON_"

# google/rpc/code.proto, "HTTP Mapping".
HTTP_STATUS = {
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.UNAUTHENTICATED: 401,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
}
# HTTP statuses that say more than the code does.
HTTP_STATUS_BY_REASON = {
    Reason.REQUEST_TOO_LARGE: 413,
    Reason.UNSUPPORTED_ENCODING: 415,
}
# The same by the limit that an error names.
HTTP_STATUS_BY_LIMIT = {
    "limit_url_bytes": 414,
    "limit_header_bytes": 431,
    "limit_headers_seconds": 408,
    "limit_body_seconds": 408,
}
METHOD_NOT_ALLOWED = 405

# gRPC sends the message (percent-encoded: a byte may take three) and the details (in base64, with
# the message again) in trailers, and peers refuse trailers past 8 KiB.
_MAX_MESSAGE_BYTES = 700
_MAX_DETAIL_BYTES = 2000
_MAX_TEXT_BYTES = 500  # of one description or field
_MAX_FACT_BYTES = 200
_MAX_FACTS = 5
_MAX_REST_MESSAGE_BYTES = 4000

# How so many errors are written is kept, of at most some 10 KB each.
_MOST_KEPT = 256
# Where the id of the request is to be, which no text of a client can hold.
_ID = uuid7()

T = TypeVar("T")


def grpc_code(error: SpanloomError) -> grpc.StatusCode:
    return grpc.StatusCode[error.code]


def http_status(error: SpanloomError) -> int:
    if error.reason is Reason.ROUTE_NOT_FOUND and error.code is Code.UNIMPLEMENTED:
        return METHOD_NOT_ALLOWED
    for name in error.metadata:
        if name in HTTP_STATUS_BY_LIMIT:
            return HTTP_STATUS_BY_LIMIT[name]
    return HTTP_STATUS_BY_REASON.get(error.reason) or HTTP_STATUS[error.code]


class _Facts(NamedTuple):
    """What an error says, but for the id of the request. Many calls are refused for one reason, so
    how it is written is kept."""

    code: Code
    reason: Reason
    message: str
    metadata: tuple[tuple[str, str], ...]
    violations: tuple[Violation, ...]
    retry_after: float | None
    http_status: int


def rpc_status(error: SpanloomError, request_id: str) -> status_pb2.Status:
    """google.rpc.Status with ErrorInfo, RequestInfo, and BadRequest and RetryInfo if they apply."""
    return status_pb2.Status.FromString(rpc_status_bytes(error, request_id))


def rpc_status_bytes(error: SpanloomError, request_id: str) -> bytes:
    """The bytes of `rpc_status`."""
    # What follows the bytes of a message is merged into it: here a detail more.
    return _of_kept(_status_without_id, _facts(error)) + _status_of(_request_info(request_id))


def rpc_message(error: SpanloomError) -> str:
    """The message of `rpc_status`."""
    return _cut(error.message, _MAX_MESSAGE_BYTES)


def rest_body(error: SpanloomError, request_id: str, service: str = "") -> bytes:
    """One JSON object for every SDK: google.rpc.Status, and the fields that vendors' SDKs read.

    Args:
        request_id: Letters, digits and `.`, `_`, `-`.
        service: The full name of the service that was called, "" for none.
    """
    before, after = _of_kept(_rest_body_around_id, _facts(error), service)
    return before + request_id.encode() + after


def _facts(error: SpanloomError) -> _Facts:
    return _Facts(
        error.code,
        error.reason,
        error.message,
        tuple(error.metadata.items()),
        error.violations,
        error.retry_after,
        http_status(error),
    )


def _of_kept(write: _lru_cache_wrapper[T], facts: _Facts, *more: str) -> T:
    """What is kept, or is written now. Violations are of one request, and may be many."""
    return write.__wrapped__(facts, *more) if facts.violations else write(facts, *more)


@lru_cache(_MOST_KEPT)
def _status_without_id(facts: _Facts) -> bytes:
    return _status_of(
        *_details(facts),
        code=code_pb2.Code.Value(facts.code),
        message=_cut(facts.message, _MAX_MESSAGE_BYTES),
    )


def _status_of(*details: Message, code: int = 0, message: str = "") -> bytes:
    status = status_pb2.Status(code=code, message=message)
    for detail in details:
        status.details.add().Pack(detail)
    written: bytes = status.SerializeToString()
    return written


@lru_cache(_MOST_KEPT)
def _rest_body_around_id(facts: _Facts, service: str) -> tuple[bytes, bytes]:
    message = _cut(facts.message, _MAX_REST_MESSAGE_BYTES)
    details = [*_details(facts), _request_info(_ID)]
    body = orjson.dumps(
        {
            "code": code_pb2.Code.Value(facts.code),
            "message": message,
            "status": facts.code,
            "details": [_detail_json(detail) for detail in details],
            "error": message,
            "success": False,
            "statusCode": facts.http_status,
            "errorCode": REASON_PREFIX + facts.reason,
            **_FIELDS_OF.get(service, _no_fields)(facts.http_status, message),
        }
    )
    before, _, after = body.partition(_ID.encode())
    return before, after


def _no_fields(_status: int, _message: str) -> dict[str, Any]:
    return {}


# What services have in addition whose clients read other fields.
_FIELDS_OF: dict[str, Callable[[int, str], dict[str, Any]]] = {
    "spanloom.v1.JaegerService": lambda status, message: {
        "errors": [{"code": status, "msg": message}]
    },
    "spanloom.v1.JaegerV3Service": lambda status, message: {
        "error": {"httpCode": status, "message": message}
    },
}


def _cut(text: str, most: int) -> str:
    """A text of at most so many bytes in UTF-8. What no text can hold, a lone surrogate, is
    replaced."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= most:
        return encoded.decode()
    return encoded[: most - 3].decode(errors="ignore") + "..."


def _details(facts: _Facts) -> list[Message]:
    """All but RequestInfo, which comes last."""
    named_facts = facts.metadata[:_MAX_FACTS]
    info = error_details_pb2.ErrorInfo(
        reason=REASON_PREFIX + facts.reason,
        domain=DOMAIN,
        metadata={name: _cut(value, _MAX_FACT_BYTES) for name, value in named_facts},
    )
    details: list[Message] = [info]
    # What is wrong with the body as a whole is in the message alone: it names no field.
    if named := [violation for violation in facts.violations if violation.field]:
        bad_request = error_details_pb2.BadRequest()
        for violation in named:
            bad_request.field_violations.add(
                field=_cut(violation.field, _MAX_TEXT_BYTES),
                description=_cut(violation.description, _MAX_TEXT_BYTES),
            )
            if bad_request.ByteSize() > _MAX_DETAIL_BYTES - 2 * _MAX_TEXT_BYTES:
                break
        details.append(bad_request)
    if facts.retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(int(facts.retry_after * 1000))
        details.append(retry)
    return details


def _request_info(request_id: str) -> error_details_pb2.RequestInfo:
    return error_details_pb2.RequestInfo(request_id=request_id)


def _detail_json(detail: Message) -> dict[str, Any]:
    fields: dict[str, Any] = json_format.MessageToDict(detail)
    return {"@type": f"type.googleapis.com/{detail.DESCRIPTOR.full_name}", **fields}
