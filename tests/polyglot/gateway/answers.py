"""Sends a case to a transcoder, and brings the answer into a form that can be compared."""

from __future__ import annotations

import gzip
import json
import re
from contextlib import closing
from http.client import HTTPConnection
from typing import Any, NamedTuple

from tests.polyglot.gateway.cases import Case, Request

# What differs from call to call.
_CHANGING = (
    "createTime",
    "updateTime",
    "createdAt",
    "created_at",
    "updated_at",
    "cursor",
    "nextPageToken",
    "start_time",
)
_CHANGING_PART = re.compile(
    r"[0-9a-f]{32}|[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|(?<=update_ns\":)\d+"
)


class Answer(NamedTuple):
    status: int
    # The JSON; of a stream a list of all lines. A text if it is no JSON.
    body: Any


def ask(address: str, spanloom: str, case: Case, own: str, key: str) -> Answer:
    """The answer of the transcoder at `address` to a case, after its setup at `spanloom`.

    Args:
        own: What `{id}` is replaced by.
    """
    for request in case.setup:
        answer = _send(spanloom, request, own, key)
        assert answer.status == 200, (case.name, answer)
    return _send(address, case.request, own, key)


def _send(address: str, request: Request, own: str, key: str) -> Answer:
    headers = {"authorization": "Bearer {key}", "accept": "application/json", **request.headers}
    sent = {name: value.replace("{key}", key) for name, value in headers.items() if value}
    body = _bytes(request.body, own)
    if body and headers.get("content-encoding") == "gzip":
        body = gzip.compress(body)
    if body is not None or request.method in ("POST", "PUT", "PATCH"):
        sent["content-length"] = str(len(body or b""))
    with closing(HTTPConnection(address, timeout=30)) as http:
        # Not `request`, which would check the path.
        http.putrequest(request.method, request.path.replace("{id}", own))
        for name, value in sent.items():
            http.putheader(name, value)
        http.endheaders(body)
        answer = http.getresponse()
        text = answer.read().decode("utf-8", "replace")
    return Answer(answer.status, _comparable(_parse(text.replace(own, "{id}"))))


def _bytes(body: Any, own: str) -> bytes | None:
    if body is None:
        return None
    if not isinstance(body, bytes):
        body = (body if isinstance(body, str) else json.dumps(body)).encode()
    result: bytes = body.replace(b"{id}", own.encode())
    return result


def _parse(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        return [json.loads(line) for line in text.splitlines()]
    except ValueError:
        return text


def _comparable(value: Any) -> Any:
    if isinstance(value, list):
        return [_comparable(item) for item in value]
    if isinstance(value, str):
        return _CHANGING_PART.sub("*", value)
    if not isinstance(value, dict):
        return value
    if "code" in value and "message" in value and isinstance(value.get("details"), list):
        value = _status(value)
    return {k: "*" if k in _CHANGING else _comparable(v) for k, v in value.items()}


def _status(body: dict[str, Any]) -> dict[str, Any]:
    """An error as google.rpc.Status, which is what all transcoders have of it.

    The request's id differs from call to call, and whether empty fields are there does not matter.
    """
    details = [d for d in body["details"] if not d["@type"].endswith("google.rpc.RequestInfo")]
    return {"code": body["code"], "message": body["message"], "details": _filled(details)}


def _filled(value: Any) -> Any:
    """Without the fields that are empty."""
    if isinstance(value, list):
        return [_filled(item) for item in value]
    if isinstance(value, dict):
        return {name: _filled(item) for name, item in value.items() if item}
    return value
