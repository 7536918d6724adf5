"""Streams by each client of tests/clients.py: requests in as they are made, responses out as they
come, or `CallError`."""

from __future__ import annotations

import asyncio
import contextlib
import json
import queue
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import Any

import grpc
from google.api import annotations_pb2
from google.protobuf import json_format
from google.protobuf.message import Message
from google.rpc import status_pb2

from tests.clients import (
    Client,
    DirectClient,
    GrpcClient,
    HttpClient,
    error_from_body,
    error_from_status,
    full_name,
    headers,
    message_of,
    method_descriptor,
    response_class,
)

_END = object()


@contextlib.contextmanager
def stream(
    client: Client, method: str, *requests: Message, key: str, more: Iterable[Message] = ()
) -> Iterator[Iterator[Any]]:
    """The responses of a call with these requests, and `more`, which may block; the block's end
    cuts the call."""
    if isinstance(client, DirectClient):
        opened = _direct(client, method, requests, more, key)
    elif isinstance(client, GrpcClient):
        opened = _grpc(client, method, requests, more, key)
    else:
        assert isinstance(client, HttpClient)
        opened = _http(client, method, requests[0], key)
    with opened as responses:
        yield responses


@contextlib.contextmanager
def _direct(
    client: DirectClient,
    method: str,
    requests: Iterable[Message],
    more: Iterable[Message],
    key: str,
) -> Iterator[Iterator[Any]]:
    found: queue.Queue[Any] = queue.Queue()
    served = client._methods[full_name(method)]

    async def sent() -> AsyncIterator[Message]:
        for request in requests:
            yield request
        rest = iter(more)

        def following() -> Any:
            return next(rest, None)

        while (another := await asyncio.to_thread(following)) is not None:
            yield another

    async def read() -> Any:
        return sent() if served.takes_many else next(iter(requests))

    async def gather() -> None:
        results = client._middleware.stream(
            served, headers(key, None), read, request_id="direct", transport="direct"
        )
        async with contextlib.aclosing(results):
            async for result in results:
                found.put(result)
        found.put(_END)

    call = asyncio.run_coroutine_threadsafe(gather(), client._loop)
    try:
        yield map(message_of, iter(lambda: found.get(timeout=10), _END))
    finally:
        call.cancel()


@contextlib.contextmanager
def _grpc(
    client: GrpcClient, method: str, requests: Iterable[Message], more: Iterable[Message], key: str
) -> Iterator[Iterator[Any]]:
    descriptor = method_descriptor(method)

    def sent() -> Iterator[bytes]:
        for request in requests:
            yield request.SerializeToString()
        for request in more:
            yield request.SerializeToString()

    open_call: Any = client._channel.stream_stream(f"/{full_name(method)}")
    call = open_call(sent(), metadata=list(headers(key, None).items()), timeout=60)

    def responses() -> Iterator[Any]:
        try:
            for data in call:
                yield response_class(descriptor).FromString(data)
        except grpc.RpcError as error:
            failed: Any = error
            trailers = dict(failed.trailing_metadata() or ())
            details = trailers["grpc-status-details-bin"]
            raise error_from_status(status_pb2.Status.FromString(details)) from error

    try:
        yield responses()
    finally:
        call.cancel()


@contextlib.contextmanager
def _http(client: HttpClient, method: str, request: Message, key: str) -> Iterator[Iterator[Any]]:
    """A GET; the request's own fields are parameters, those in the path not among them."""
    descriptor = method_descriptor(method)
    rule = descriptor.GetOptions().Extensions[annotations_pb2.http]
    fields = json_format.MessageToDict(request)
    path = rule.get
    for one in (rule, *rule.additional_bindings):
        name = one.get.partition("{")[2].partition("}")[0]
        value = getattr(request, name) if name else ""
        if value:
            path = one.get.replace(f"{{{name}}}", value)
            fields.pop(descriptor.input_type.fields_by_name[name].json_name)
    parameters = dict(_flat(fields))
    with client.http.stream("GET", path, params=parameters, headers=headers(key, None)) as answer:
        if answer.status_code != 200:
            answer.read()
            raise error_from_body(answer)

        def responses() -> Iterator[Any]:
            for line in answer.iter_lines():
                data = json.loads(line)
                if "error" in data:
                    raise error_from_json(data["error"])
                if data.keys() == {"result"}:  # grpc-gateway
                    data = data["result"]
                yield json_format.ParseDict(data, response_class(descriptor)())

        yield responses()


def error_from_json(data: dict[str, Any]) -> Exception:
    """The error of a last line."""
    status = status_pb2.Status(code=data["code"], message=data["message"])
    for detail in data["details"]:
        json_format.ParseDict(detail, status.details.add())
    return error_from_status(status)


def _flat(fields: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in fields.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield above + name, value
