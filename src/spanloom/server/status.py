"""How an error is written on the wire: codes, google.rpc.Status, and the one REST body."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import orjson
from google.protobuf import any_pb2, json_format
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from spanloom.errors import Code, Reason, SpanloomError

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


def grpc_code(error: SpanloomError) -> grpc.StatusCode:
    return grpc.StatusCode[error.code]


def http_status(error: SpanloomError) -> int:
    if error.reason is Reason.ROUTE_NOT_FOUND and error.code is Code.UNIMPLEMENTED:
        return METHOD_NOT_ALLOWED
    for name in error.metadata:
        if name in HTTP_STATUS_BY_LIMIT:
            return HTTP_STATUS_BY_LIMIT[name]
    return HTTP_STATUS_BY_REASON.get(error.reason) or HTTP_STATUS[error.code]


def rpc_status(error: SpanloomError, request_id: str) -> status_pb2.Status:
    """google.rpc.Status with ErrorInfo, RequestInfo, and BadRequest and RetryInfo if they apply."""
    status = status_pb2.Status(
        code=code_pb2.Code.Value(error.code), message=_cut(error.message, _MAX_MESSAGE_BYTES)
    )
    for detail in _details(error, request_id):
        packed = any_pb2.Any()
        packed.Pack(detail)
        status.details.append(packed)
    return status


def rest_body(error: SpanloomError, request_id: str, service: str = "") -> bytes:
    """One JSON object for every SDK: google.rpc.Status, and the fields that vendors' SDKs read.

    Args:
        service: The full name of the service that was called, "" for none.
    """
    reason = REASON_PREFIX + error.reason
    message = _cut(error.message, _MAX_REST_MESSAGE_BYTES)
    details = [_detail_json(detail) for detail in _details(error, request_id)]
    return orjson.dumps(
        {
            "code": code_pb2.Code.Value(error.code),
            "message": message,
            "status": error.code,
            "details": details,
            "error": message,
            "success": False,
            "statusCode": http_status(error),
            "errorCode": reason,
            **_FIELDS_OF.get(service, _no_fields)(http_status(error), message),
        }
    )


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


def _details(error: SpanloomError, request_id: str) -> list[Message]:
    facts = list(error.metadata.items())[:_MAX_FACTS]
    info = error_details_pb2.ErrorInfo(
        reason=REASON_PREFIX + error.reason,
        domain=DOMAIN,
        metadata={name: _cut(value, _MAX_FACT_BYTES) for name, value in facts},
    )
    details: list[Message] = [info]
    # What is wrong with the body as a whole is in the message alone: it names no field.
    if named := [violation for violation in error.violations if violation.field]:
        bad_request = error_details_pb2.BadRequest()
        for violation in named:
            bad_request.field_violations.add(
                field=_cut(violation.field, _MAX_TEXT_BYTES),
                description=_cut(violation.description, _MAX_TEXT_BYTES),
            )
            if bad_request.ByteSize() > _MAX_DETAIL_BYTES - 2 * _MAX_TEXT_BYTES:
                break
        details.append(bad_request)
    if error.retry_after is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(int(error.retry_after * 1000))
        details.append(retry)
    details.append(error_details_pb2.RequestInfo(request_id=request_id))
    return details


def _detail_json(detail: Message) -> dict[str, Any]:
    fields: dict[str, Any] = json_format.MessageToDict(detail)
    return {"@type": f"type.googleapis.com/{detail.DESCRIPTOR.full_name}", **fields}
