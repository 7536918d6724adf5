"""The server that the conformance suite tests: its service on this server's layer.

It writes a ServerCompatResponse, the address, with its length before it to standard output, as the
suite reads it, and runs until it is ended.
"""

from __future__ import annotations

import asyncio
import logging
import struct
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextvars import ContextVar
from typing import Any

import structlog
from google.protobuf import any_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, status_pb2
from starlette.responses import Response

from spanloom.errors import Code, Reason, SpanloomError
from spanloom.model.projects import INSTANCE
from spanloom.server.auth import Principal
from spanloom.server.http.exchange import Exchange
from spanloom.server.http.server import HttpServer
from spanloom.server.http.web_rpc import WebRpcApp
from spanloom.server.methods import method_table
from spanloom.server.middleware import Middleware, Read
from spanloom.services.context import CallContext

SERVICE = "connectrpc.conformance.v1.ConformanceService"
MAX_REQUEST_BYTES = 200 * 1024  # the limit that the suite asks each server for
exchange_of_call: ContextVar[Exchange] = ContextVar("exchange_of_call")


class GivenError(SpanloomError):
    """The error that a request asks for, with its details."""

    def __init__(self, given: Any, *more: Message) -> None:
        code = Code[code_pb2.Code.Name(given.code)]
        super().__init__(code, Reason.INTERNAL, given.message)
        self.details = [*given.details, *(packed(detail) for detail in more)]


def packed(message: Message) -> any_pb2.Any:
    found = any_pb2.Any()
    found.Pack(message)
    return found


class Anybody:
    needs_no_key = True

    def known(self, metadata: Mapping[str, str]) -> Principal | None:
        return None

    async def authenticate(self, metadata: Mapping[str, str]) -> Principal:
        return Principal(INSTANCE, "admin")


class ConformanceApp(WebRpcApp):
    """The layer, whose methods know the whole call and may give any error."""

    async def unary(self, exchange: Exchange, read: Read) -> Message | SpanloomError:
        exchange_of_call.set(exchange)
        return await super().unary(exchange, read)

    async def stream(
        self, exchange: Exchange, read: Read
    ) -> AsyncGenerator[Message | SpanloomError, None]:
        exchange_of_call.set(exchange)
        async for result in super().stream(exchange, read):
            yield result

    def status(self, exchange: Exchange, error: SpanloomError) -> status_pb2.Status:
        found = super().status(exchange, error)
        # The suite expects the details that it gave, and none with the errors of a server.
        found.ClearField("details")
        if isinstance(error, GivenError):
            found.details.extend(error.details)
        return found


class ConformanceService:
    """Answers what each request defines."""

    def __init__(self, messages: Any) -> None:
        self._messages = messages

    async def unary(self, request: Any, call: CallContext) -> Message:
        messages = self._messages
        definition = request.response_definition
        return await self._one(messages.UnaryResponse(), definition, [request])

    async def idempotent_unary(self, request: Any, call: CallContext) -> Message:
        messages = self._messages
        definition = request.response_definition
        return await self._one(messages.IdempotentUnaryResponse(), definition, [request])

    async def client_stream(self, requests: AsyncIterator[Any], call: CallContext) -> Message:
        given = [request async for request in requests]
        messages = self._messages
        definition = (given or [messages.ClientStreamRequest()])[0].response_definition
        return await self._one(messages.ClientStreamResponse(), definition, given)

    async def server_stream(self, request: Any, call: CallContext) -> AsyncIterator[Message]:
        answers = self._many(
            self._messages.ServerStreamResponse, request.response_definition, [request]
        )
        async for answer in answers:
            yield answer

    async def bidi_stream(
        self, requests: AsyncIterator[Any], call: CallContext
    ) -> AsyncIterator[Message]:
        given = [request async for request in requests]
        if not given:
            return
        response = self._messages.BidiStreamResponse
        async for answer in self._many(response, given[0].response_definition, given):
            yield answer

    async def unimplemented(self, request: Any, call: CallContext) -> Message:
        raise SpanloomError(
            Code.UNIMPLEMENTED,
            Reason.ROUTE_NOT_FOUND,
            "the method is not implemented",
        )

    async def _one(self, response: Any, definition: Any, requests: list[Any]) -> Message:
        info = self._begin(definition, requests)
        await asyncio.sleep(definition.response_delay_ms / 1000)
        if definition.HasField("error"):
            raise GivenError(definition.error, info)
        response.payload.data = definition.response_data
        response.payload.request_info.CopyFrom(info)
        answer: Message = response
        return answer

    async def _many(
        self, response_class: Any, definition: Any, requests: list[Any]
    ) -> AsyncIterator[Message]:
        info = self._begin(definition, requests)
        for number, data in enumerate(definition.response_data):
            await asyncio.sleep(definition.response_delay_ms / 1000)
            response = response_class()
            response.payload.data = data
            if not number:
                response.payload.request_info.CopyFrom(info)
            yield response
        if definition.HasField("error"):
            raise GivenError(definition.error, *([] if definition.response_data else [info]))

    def _begin(self, definition: Any, requests: list[Any]) -> Any:
        """Set headers and trailers of the answer; what the request was."""
        exchange = exchange_of_call.get()
        for headers, into in (
            (definition.response_headers, exchange.headers),
            (definition.response_trailers, exchange.trailers),
        ):
            into += [(header.name.lower(), text) for header in headers for text in header.value]
        info = self._messages.ConformancePayload.RequestInfo(requests=map(packed, requests))
        if exchange.time_left is not None:
            info.timeout_ms = round(exchange.time_left * 1000)
        found: dict[str, list[str]] = {}
        for name, text in exchange.scope["headers"]:
            found.setdefault(name.decode(), []).append(text.decode("latin-1"))
        for known, texts in found.items():
            info.request_headers.add(name=known, value=texts)
        for parameter, text in exchange.query.items():
            info.connect_get_info.query_params.add(name=parameter, value=[text])
        return info


async def main() -> None:
    # Standard output is for the address alone.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    from connectrpc.conformance.v1 import (  # type: ignore[import-not-found]
        server_compat_pb2,
        service_pb2,
    )

    rpc = ConformanceApp(
        method_table({SERVICE: ConformanceService(service_pb2)}),
        Middleware(Anybody()),
        max_request_bytes=MAX_REQUEST_BYTES,
    )

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if method := rpc.find(scope):
            await rpc.answer(method, scope, receive, send)
        else:
            await Response(status_code=404)(scope, receive, send)

    address = await HttpServer(app).start("127.0.0.1:0")
    host, _, port = address.rpartition(":")
    told = server_compat_pb2.ServerCompatResponse(host=host, port=int(port)).SerializeToString()
    sys.stdout.buffer.write(struct.pack(">I", len(told)) + told)
    sys.stdout.buffer.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
