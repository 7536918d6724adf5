"""REST: the methods of the contract, reached by the paths of their proto annotations."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from functools import partial
from itertools import islice

from google.protobuf.message import Message
from starlette.types import Receive, Scope, Send

from spanloom.codec.json_parse import MOST_IGNORED, printable
from spanloom.codec.offload import run_in_thread_if_large
from spanloom.errors import SpanloomError, unsupported_encoding
from spanloom.server import status
from spanloom.server.admission import STREAM_COPIES, Held
from spanloom.server.call_log import log_refusal
from spanloom.server.funnel import as_error
from spanloom.server.http.exchange import pack
from spanloom.server.http.request import (
    ClientGoneError,
    GoneWatch,
    media_type_of,
    metadata_of,
    read_body,
    read_lines,
)
from spanloom.server.http.response import ignored_fields, noted, send_body, send_error, start
from spanloom.server.http.server_sent import EVENT_STREAM, accepts_events, event, set_cursor
from spanloom.server.http.transcode import JSON, PROTOBUF, Route, RouteError, Transcoder
from spanloom.server.methods import Method, Request
from spanloom.server.middleware import Middleware, request_id_of
from spanloom.services.context import Notes

TRANSPORT = "rest"
NDJSON = "application/x-ndjson"
# A proxy that keeps a response until it is whole would keep a stream for ever.
_STREAM_HEADERS = [(b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no")]
_PROTOBUF = (PROTOBUF, "application/protobuf", "application/vnd.google.protobuf")


class RestApp:
    """Answers every path of the contract: `find` a request's route, then `answer` it.

    Raises:
        AnnotationError: The contract has a rule that cannot be served.
    """

    def __init__(
        self, methods: Sequence[Method], middleware: Middleware, *, max_request_bytes: int
    ) -> None:
        self._transcoder = Transcoder(methods)
        self._middleware = middleware
        self._max_request_bytes = max_request_bytes

    def find(self, scope: Scope) -> Route | None:
        """The route of a request; None if the contract has none.

        HEAD has that of GET: the HTTP server sends the headers of its answer alone.
        """
        http_method = "GET" if scope["method"] == "HEAD" else scope["method"]
        return self._transcoder.route(http_method, _path(scope))

    async def answer(self, route: Route, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that has a route."""
        if await self._refuse_paced(route, scope, send):
            return
        budget = self._middleware.budget
        with contextlib.suppress(ClientGoneError), budget.held() as lines, budget.held() as held:
            await self._answer(route, lines, held, scope, receive, send)

    async def refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request that has none, as an ASGI app."""
        metadata = metadata_of(scope)
        request_id = request_id_of(metadata)
        error = RouteError(scope["method"], _path(scope), self._transcoder.allowed(_path(scope)))
        log_refusal(error, request_id, transport=TRANSPORT, target=target_of(scope))
        await send_error(send, error, request_id, _form(media_type_of(metadata)))

    async def _refuse_paced(self, route: Route, scope: Scope, send: Send) -> bool:
        """Refuse a call for which there is plainly no place; whether it was."""
        if not self._middleware.is_crowded(route.method):
            return False
        metadata = metadata_of(scope)
        request_id = request_id_of(metadata)
        refusal = self._middleware.refused(route.method, metadata, request_id, TRANSPORT)
        if refusal is None:
            return False
        service = route.method.descriptor.containing_service.full_name
        error = self._transcoder.refusal(route, refusal)
        await send_error(send, error, request_id, _form(media_type_of(metadata)), service)
        return True

    async def _answer(
        self, route: Route, lines: Held, held: Held, scope: Scope, receive: Receive, send: Send
    ) -> None:
        metadata = metadata_of(scope)
        request_id = request_id_of(metadata)
        media_type = media_type_of(metadata)
        form = _form(media_type)
        service = route.method.descriptor.containing_service.full_name
        ignored: list[str] = []

        is_sse = route.method.gives_many and accepts_events(metadata.get("accept", ""))
        watch = GoneWatch(receive)

        async def parse(body: bytes) -> Request:
            is_json = bool(body) and bool(route.binding.body) and form == JSON
            if is_json and self._middleware.needs_no_key:
                _check_json_type(media_type)
            query = scope["query_string"].decode("latin-1")
            message, unknown = await run_in_thread_if_large(
                len(body) // 1024, partial(self._transcoder.read, route, query, body, form)
            )
            new = (name for name in unknown if name not in ignored)
            ignored.extend(islice(new, MOST_IGNORED - len(ignored)))
            return message

        async def requests() -> AsyncIterator[Request | SpanloomError]:
            if form != JSON:
                raise unsupported_encoding(f"send one JSON object a line, as {NDJSON}")
            async for line in read_lines(metadata, receive, self._max_request_bytes, lines):
                try:
                    yield await parse(line)
                except SpanloomError as error:
                    if not route.method.takes_refusals:
                        raise
                    yield self._transcoder.refusal(route, error)
            watch.start()

        async def read() -> Request | AsyncIterator[Request | SpanloomError]:
            if route.method.takes_many:
                return requests()
            body = await read_body(metadata, receive, self._max_request_bytes, held)
            watch.start()
            request = await parse(body)
            if is_sse:
                set_cursor(request, metadata.get("last-event-id", ""))
            return request

        if route.method.gives_many:
            results = self._middleware.stream(
                route.method, metadata, read, request_id=request_id, transport=TRANSPORT
            )
            with watch:
                async with contextlib.aclosing(results):
                    await self._send_stream(
                        send,
                        route,
                        request_id,
                        results,
                        held,
                        is_sse=is_sse,
                        headers_only=scope["method"] == "HEAD",
                    )
            return
        notes = Notes()
        # A write is finished without its client.
        with watch if route.method.is_read else contextlib.nullcontext():
            result = await self._middleware.unary(
                route.method,
                metadata,
                read,
                request_id=request_id,
                transport=TRANSPORT,
                notes=notes,
            )
        if isinstance(result, SpanloomError):
            refusal = self._transcoder.refusal(route, result)
            await send_error(send, refusal, request_id, form, service)
            return
        try:
            body, content_type = await run_in_thread_if_large(
                result.ByteSize() // 1024, partial(self._transcoder.write, route, result, form)
            )
        except Exception as error:  # noqa: BLE001 - the funnel
            refusal = as_error(error, request_id, route.method.full_name)
            await send_error(send, refusal, request_id, form, service)
            return
        try:
            held.keep(len(body))  # until the client has taken it
        except SpanloomError as refusal:
            await send_error(send, refusal, request_id, form, service)
            return
        del result
        body, is_packed = await pack(body, metadata.get("accept-encoding", ""))
        headers = [*ignored_fields(ignored), *noted(notes)]
        if is_packed:
            headers += [(b"content-encoding", b"gzip"), (b"vary", b"accept-encoding")]
        await send_body(send, 200, content_type, body, request_id, headers)

    async def _send_stream(
        self,
        send: Send,
        route: Route,
        request_id: str,
        results: AsyncIterator[Message | SpanloomError],
        held: Held,
        *,
        is_sse: bool,
        headers_only: bool,
    ) -> None:
        """Send one JSON object a line, or a server-sent event.

        An error after the first line is a last line `{"error": {...}}`, or an event of the type
        `error`, for the status is sent by then.
        """
        content_type = EVENT_STREAM if is_sse else NDJSON
        is_started = False
        async for result in results:
            part = self._part(route, result, held, is_sse=is_sse)
            del result  # it may be large, and the client slow
            if not is_started:
                if isinstance(part, SpanloomError):
                    await send_error(send, self._transcoder.refusal(route, part), request_id)
                    return
                await start(send, 200, content_type, request_id, _STREAM_HEADERS)
                is_started = True
                if headers_only:
                    break
            if isinstance(part, SpanloomError):
                line = b'{"error":' + status.rest_body(part, request_id) + b"}"
                body = event(line, part) if is_sse else line + b"\n"
                await send({"type": "http.response.body", "body": body, "more_body": True})
                break
            await send({"type": "http.response.body", "body": part, "more_body": True})
        if not is_started:
            await start(send, 200, content_type, request_id, _STREAM_HEADERS)
        await send({"type": "http.response.body", "body": b""})

    def _part(
        self, route: Route, result: Message | SpanloomError, held: Held, *, is_sse: bool
    ) -> bytes | SpanloomError:
        """The bytes of a message of the stream, which are held; or the error that ends it."""
        if isinstance(result, SpanloomError):
            return result
        line, _ = self._transcoder.write(route, result)
        body = event(line, result) if is_sse else line + b"\n"
        try:
            held.keep(STREAM_COPIES * len(body))
        except SpanloomError as refusal:
            return refusal
        return body


def target_of(scope: Scope) -> str:
    """HTTP method and path, for the log."""
    return printable(f"{scope['method']} {_path(scope)}")


def _path(scope: Scope) -> str:
    """The path as it was sent, percent-encoded."""
    path: bytes = scope["raw_path"]
    return path.decode("latin-1")


def _form(media_type: str) -> str:
    """How the body is written, and the answer: PROTOBUF if the media type says so, else JSON."""
    return PROTOBUF if media_type in _PROTOBUF else JSON


def _check_json_type(media_type: str) -> None:
    """Refuse JSON under another type: a page of any site can send that without being asked.

    A browser asks the server (a CORS preflight) before it sends application/json across sites.
    """
    if media_type not in (JSON, NDJSON) and not media_type.endswith("+json"):
        sent = media_type or "none"
        raise unsupported_encoding(
            f"without authentication a JSON body needs Content-Type: {JSON}, not {sent[:100]}"
        )
