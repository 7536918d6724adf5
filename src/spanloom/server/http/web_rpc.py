"""Connect and gRPC-Web: the methods of the table at `/<service>/<method>`, for browsers as well."""

from __future__ import annotations

import base64
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from typing import Final
from urllib.parse import parse_qsl

import orjson
from google.protobuf.message import Message
from google.rpc import status_pb2
from starlette.types import Receive, Scope, Send

from spanloom.codec.json_parse import MOST_IGNORED, printable
from spanloom.errors import Code, Reason, SpanloomError, unsupported_encoding
from spanloom.server import status
from spanloom.server.admission import STREAM_COPIES, Held
from spanloom.server.call_log import log_refusal
from spanloom.server.funnel import as_error
from spanloom.server.http.connect import CONNECT, check_version, error_json, message_in
from spanloom.server.http.envelope import COMPRESSED, opened, sealed
from spanloom.server.http.exchange import Exchange, Protocol, accepts_gzip, check_encoding, pack
from spanloom.server.http.grpc_web import GRPC_WEB, decoded
from spanloom.server.http.request import (
    ClientGoneError,
    GoneWatch,
    chunks,
    media_type_of,
    metadata_of,
    read_body,
)
from spanloom.server.http.response import Headers, error_headers, ignored_fields, send_body, start
from spanloom.server.http.rest import target_of
from spanloom.server.http.transcode import JSON, RouteError
from spanloom.server.messages import not_one_message
from spanloom.server.methods import Method, Request
from spanloom.server.middleware import Middleware, Read, request_id_of
from spanloom.services.context import Notes

# The headers of answers that clients in web pages read.
EXPOSED_HEADERS: Final = (
    *("connect-content-encoding", "connect-accept-encoding"),
    *("grpc-encoding", "grpc-accept-encoding"),
    *("grpc-status", "grpc-message", "grpc-status-details-bin"),
)
PROTO: Final = "application/proto"
# By media type: whether the messages are JSON.
_WHOLE: Final = {PROTO: False, JSON: True}
_STREAM: Final = {"application/connect+proto": False, "application/connect+json": True}
_TEXT: Final = {"application/grpc-web-text": False, "application/grpc-web-text+proto": False}
_GRPC_WEB: Final = {
    "application/grpc-web": False,
    "application/grpc-web+proto": False,
    "application/grpc-web+json": True,
    **_TEXT,
}


class WebRpcApp:
    """Answers the RPC protocols that HTTP/1.1 can carry: `find` a request's method, then `answer`.

    Connect has one answer as a plain HTTP response, which a GET may ask for if the method changes
    nothing, and streams as envelopes. gRPC-Web has envelopes for all.
    """

    def __init__(
        self, methods: Sequence[Method], middleware: Middleware, *, max_request_bytes: int
    ) -> None:
        self._methods = {f"/{method.full_name}": method for method in methods}
        self._middleware = middleware
        self._limit = max_request_bytes

    def find(self, scope: Scope) -> Method | None:
        """The method of a request; None if no method has its path."""
        return self._methods.get(scope["path"])

    async def answer(self, method: Method, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that has a method."""
        metadata = metadata_of(scope)
        is_stream = method.takes_many or method.gives_many
        verbs = ["GET", "HEAD", "POST"] if method.is_read and not is_stream else ["POST"]
        if scope["method"] not in verbs:
            wrong_verb = RouteError(scope["method"], scope["path"], verbs)
            await self._refuse(wrong_verb, scope, send, (b"allow", ", ".join(verbs).encode()))
            return
        query: dict[str, str] = {}
        kinds = (_STREAM if is_stream else _WHOLE) | _GRPC_WEB
        media_type = media_type_of(metadata)
        if scope["method"] != "POST":
            text = scope["query_string"].decode("latin-1")
            query = dict(parse_qsl(text, keep_blank_values=True, errors="surrogateescape"))
            kinds, media_type = _WHOLE, f"application/{query.get('encoding', '')}"
        if media_type not in kinds:
            listed = ", ".join(kinds)
            wrong_type = unsupported_encoding(
                f"the method does not read {printable(media_type)!r}; send one of {listed}"
            )
            await self._refuse(wrong_type, scope, send, (b"accept-post", listed.encode()))
            return
        exchange = Exchange(
            method=method,
            protocol=GRPC_WEB if media_type in _GRPC_WEB else CONNECT,
            scope=scope,
            metadata=metadata,
            request_id=request_id_of(metadata),
            is_json=kinds[media_type],
            query=query,
        )
        budget = self._middleware.budget
        with contextlib.suppress(ClientGoneError), budget.held() as read, budget.held() as held:
            if media_type in _WHOLE:
                await self._answer_whole(exchange, held, receive, send)
            else:
                await self._answer_stream(exchange, media_type, read, held, receive, send)

    async def unary(self, exchange: Exchange, read: Read) -> Message | SpanloomError:
        """What a method with one answer answers."""
        notes = Notes()
        result = await self._middleware.unary(
            exchange.method,
            exchange.metadata,
            read,
            request_id=exchange.request_id,
            transport=exchange.protocol.transport,
            time_left=exchange.time_left,
            notes=notes,
        )
        exchange.headers.extend(notes.headers.items())
        return result

    async def stream(
        self, exchange: Exchange, read: Read
    ) -> AsyncGenerator[Message | SpanloomError, None]:
        """What any method answers; an error comes last."""
        if not exchange.method.gives_many:
            yield await self.unary(exchange, read)
            return
        results = self._middleware.stream(
            exchange.method,
            exchange.metadata,
            read,
            request_id=exchange.request_id,
            transport=exchange.protocol.transport,
            time_left=exchange.time_left,
        )
        async with contextlib.aclosing(results):
            async for result in results:
                yield result

    def status(self, exchange: Exchange, error: SpanloomError) -> status_pb2.Status:
        """The error as a status with details."""
        return status.rpc_status(error, exchange.request_id)

    async def _answer_whole(
        self, exchange: Exchange, held: Held, receive: Receive, send: Send
    ) -> None:
        """One answer over Connect, as a plain HTTP response."""
        metadata, query = exchange.metadata, exchange.query

        async def read() -> Request:
            check_version(metadata, query)
            if exchange.scope["method"] != "POST":
                encoding = check_encoding(query.get("compression", ""))
                return await exchange.read(message_in(query), encoding, self._limit, held)
            encoding = check_encoding(metadata.get("content-encoding", ""))
            # Unpacked below: an empty body is an empty message, in each encoding.
            length = {"content-length": metadata.get("content-length", "")}
            body = await read_body(length, receive, self._limit, held)
            return await exchange.read(body, encoding, self._limit, held)

        error = self._set_deadline(exchange)
        result = error or await self.unary(exchange, read)
        headers = _encoded(exchange.headers)
        headers += [(b"trailer-" + name, text) for name, text in _encoded(exchange.trailers)]
        try:
            if isinstance(result, SpanloomError):
                raise result
            data = await exchange.write(result)
            held.keep(len(data))  # until the client has taken it
        except Exception as failure:  # noqa: BLE001 - the funnel
            refusal = as_error(failure, exchange.request_id, exchange.method.full_name)
            code = status.HTTP_STATUS[refusal.code]
            body = orjson.dumps(error_json(self.status(exchange, refusal)))
            headers += error_headers(refusal)
            await send_body(send, code, JSON, body, exchange.request_id, headers)
            return
        data, is_packed = await pack(data, metadata.get("accept-encoding", ""))
        headers += ignored_fields(exchange.ignored[:MOST_IGNORED])
        if is_packed:
            headers.append((b"content-encoding", b"gzip"))
        kind = JSON if exchange.is_json else PROTO
        await send_body(send, 200, kind, data, exchange.request_id, headers)

    async def _answer_stream(
        self,
        exchange: Exchange,
        media_type: str,
        incoming: Held,
        held: Held,
        receive: Receive,
        send: Send,
    ) -> None:
        """Envelopes in both directions; the status comes after the last message."""
        protocol, metadata = exchange.protocol, exchange.metadata
        accepted = metadata.get(protocol.accept_encoding, "")
        is_text = media_type in _TEXT
        is_started = False

        async def put(envelope: bytes, *, more: bool) -> None:
            nonlocal is_started
            if not is_started:
                is_started = True
                headers = [*exchange.headers, (protocol.accept_encoding, "gzip")]
                if accepts_gzip(accepted):
                    headers.append((protocol.encoding, "gzip"))
                await start(send, 200, media_type, exchange.request_id, _encoded(headers))
            body = base64.b64encode(envelope) if is_text else envelope
            await send({"type": "http.response.body", "body": body, "more_body": more})

        error = self._set_deadline(exchange)
        with GoneWatch(receive) as watch:
            body = decoded(chunks(receive)) if is_text else chunks(receive)
            read = self._reader(exchange, body, incoming, watch)
            try:
                async with contextlib.aclosing(self.stream(exchange, read)) as results:
                    while not error and (result := await anext(results, None)) is not None:
                        if isinstance(result, SpanloomError):
                            error = result
                        else:
                            data = await exchange.write(result)
                            held.keep(STREAM_COPIES * len(data))
                            data, is_packed = await pack(data, accepted)
                            await put(sealed(COMPRESSED if is_packed else 0, data), more=True)
            except Exception as failure:  # noqa: BLE001 - the funnel
                error = as_error(failure, exchange.request_id, exchange.method.full_name)
            ended = self.status(exchange, error) if error else None
            await put(protocol.end(ended, exchange.trailers), more=False)

    def _reader(
        self, exchange: Exchange, body: AsyncIterator[bytes], held: Held, watch: GoneWatch
    ) -> Callable[[], Awaitable[Request | AsyncIterator[Request]]]:
        """What reads the request, or the requests, from the envelopes in the body."""
        metadata, protocol = exchange.metadata, exchange.protocol

        async def requests(encoding: str) -> AsyncIterator[Request]:
            async for flags, data in opened(body, self._limit, held):
                if flags & ~COMPRESSED or (flags and encoding != "gzip"):
                    raise _wrong_flags(flags, protocol)
                yield await exchange.read(data, encoding if flags else "", self._limit, held)
            watch.start()

        async def read() -> Request | AsyncIterator[Request]:
            if protocol is CONNECT:
                check_version(metadata, {})
            found = requests(check_encoding(metadata.get(protocol.encoding, "")))
            if exchange.method.takes_many:
                return found
            request = await anext(found, None)
            if request is None:
                raise not_one_message("none")
            size = held.size
            if await anext(found, None) is not None:
                raise not_one_message("more than one")
            held.keep(size)
            return request

        return read

    def _set_deadline(self, exchange: Exchange) -> SpanloomError | None:
        """Read the caller's deadline; an error if that cannot be done."""
        try:
            exchange.time_left = exchange.protocol.time_left(exchange.metadata)
        except SpanloomError as error:
            _log(error, exchange.request_id, exchange.scope)
            return error
        return None

    async def _refuse(
        self, error: SpanloomError, scope: Scope, send: Send, header: tuple[bytes, bytes]
    ) -> None:
        """Refuse a request that is no call, by its HTTP method or its media type.

        The body is plain text: clients must take the status, and not an error of the protocol.
        """
        request_id = request_id_of(metadata_of(scope))
        _log(error, request_id, scope)
        code, body = status.http_status(error), error.message.encode() + b"\n"
        await send_body(send, code, "text/plain; charset=utf-8", body, request_id, [header])


def _log(error: SpanloomError, request_id: str, scope: Scope) -> None:
    log_refusal(error, request_id, transport=CONNECT.transport, target=target_of(scope))


def _wrong_flags(flags: int, protocol: Protocol) -> SpanloomError:
    # INTERNAL, as both protocols ask for: what wrote this is broken, and no caller wrote it.
    return SpanloomError(
        Code.INTERNAL,
        Reason.MALFORMED_BODY,
        f"a message has the flags {flags:#04x}, but the request names no compression in"
        f" {protocol.encoding}, or the flags are unknown",
    )


def _encoded(headers: Sequence[tuple[str, str]]) -> Headers:
    return [(name.encode(), text.encode()) for name, text in headers]
