"""The REST door: an ASGI app over the transcoder, and the uvicorn server that runs it in our event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import orjson
import uvicorn
from google.protobuf.message import Message
from starlette.middleware.cors import CORSMiddleware

from spanloom.codec.offload import run_in_thread_if_large
from spanloom.errors import Code, Reason, SpanloomError
from spanloom.model import uuid7
from spanloom.server import status
from spanloom.server.grpc import too_large
from spanloom.server.http.protocol import HttpProtocol
from spanloom.server.http.transcode import JSON, PROTOBUF, Route, Transcoder
from spanloom.server.listener import listen, with_port
from spanloom.server.methods import Method
from spanloom.server.middleware import Middleware, Outcome, as_error

TRANSPORT = "rest"
NDJSON = "application/x-ndjson"
_PROTOBUF = (PROTOBUF, "application/protobuf", "application/vnd.google.protobuf")
# A refused body is still read up to this many times the limit, so that the client gets the answer and not a reset.
_DISCARD_FACTOR = 4
_BODY_SLICE = 1 << 18
# zlib's window size for the encodings of RFC 9110: gzip's own header, or zlib's ("deflate").
_INFLATE = {"gzip": 31, "x-gzip": 31, "deflate": 15}

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class RestApp:
    """ASGI: every path of the proto annotations, and /healthz (alive) and /readyz (the store answers)."""

    def __init__(
        self,
        methods: Sequence[Method],
        middleware: Middleware,
        *,
        ready: Callable[[], Awaitable[bool]],
        max_request_bytes: int,
    ) -> None:
        self._transcoder = Transcoder(methods)
        self._middleware = middleware
        self._ready = ready
        self._max_request_bytes = max_request_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with contextlib.suppress(_ClientGone):
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] in ("/healthz", "/readyz"):
            await self._health(scope["path"], send)
            return
        metadata = _metadata(scope)
        form = _form(metadata)
        try:
            route = self._transcoder.route(scope["method"], scope["raw_path"].decode("latin-1"))
        except SpanloomError as error:
            await _send_error(send, error, uuid7(), form)
            return
        ignored: list[str] = []

        async def read() -> Message:
            body = await self._body(metadata, receive)
            query = scope["query_string"].decode("latin-1")
            message, unknown = await run_in_thread_if_large(
                len(body) // 1024, partial(self._transcoder.read, route, query, body, form)
            )
            ignored.extend(unknown)
            return message

        if route.method.streams:
            outcomes = self._middleware.stream(route.method, metadata, read, transport=TRANSPORT)
            async with contextlib.aclosing(outcomes):
                await self._send_stream(receive, send, route, outcomes)
            return
        outcome = await self._middleware.unary(route.method, metadata, read, transport=TRANSPORT)
        result, request_id = outcome.result, outcome.request_id
        if isinstance(result, SpanloomError):
            await _send_error(send, self._transcoder.refusal(route, result), request_id, form)
            return
        try:
            body, content_type = await run_in_thread_if_large(
                result.ByteSize() // 1024, partial(self._transcoder.write, route, result, form)
            )
        except Exception as error:  # noqa: BLE001 - the funnel
            refusal = as_error(error, request_id, route.method.full_name)
            await _send_error(send, refusal, request_id, form)
            return
        await _send(send, 200, content_type, body, request_id, _ignored_header(ignored))

    async def _send_stream(
        self, receive: Receive, send: Send, route: Route, outcomes: AsyncIterator[Outcome]
    ) -> None:
        """One JSON object a line; an error after the first line is a last line `{"error": {...}}`, for the status is sent.
        Ends when the client has gone: sending would not fail, and go on to the end."""
        gone: asyncio.Task[None] | None = None
        try:
            async for outcome in outcomes:
                result, request_id = outcome.result, outcome.request_id
                if gone is None:
                    if isinstance(result, SpanloomError):
                        refusal = self._transcoder.refusal(route, result)
                        await _send_error(send, refusal, request_id, JSON)
                        return
                    await _start(send, 200, NDJSON, request_id, [])
                    gone = asyncio.create_task(_until_gone(receive))
                if gone.done():
                    return
                if isinstance(result, SpanloomError):
                    line = b'{"error":' + status.rest_body(result, request_id) + b"}"
                else:
                    line, _ = self._transcoder.write(route, result)
                await send({"type": "http.response.body", "body": line + b"\n", "more_body": True})
            if gone is None:
                await _start(send, 200, NDJSON, uuid7(), [])
            await send({"type": "http.response.body", "body": b""})
        finally:
            if gone is not None:
                gone.cancel()

    async def _body(self, metadata: Mapping[str, str], receive: Receive) -> bytes:
        """The whole body, unpacked. REQUEST_TOO_LARGE as soon as the limit is passed, packed or unpacked."""
        inflate = _inflater(metadata.get("content-encoding", ""))
        limit = self._max_request_bytes
        chunks: list[bytes] = []
        size = 0
        async for packed in _chunks(receive, limit * _DISCARD_FACTOR):
            if size > limit:
                continue  # read on to the end, keep nothing
            for chunk in inflate(packed, limit + 1 - size):
                size += len(chunk)
                chunks.append(chunk)
            if size > limit:
                chunks.clear()
        if size > limit:
            raise too_large(limit)
        chunks.extend(inflate(None, 0))
        return b"".join(chunks)

    async def _health(self, path: str, send: Send) -> None:
        alive = path == "/healthz" or await self._ready()
        body = orjson.dumps({"status": "ok" if alive else "unavailable"})
        await _send(send, 200 if alive else 503, JSON, body, uuid7(), [])


class _ClientGone(asyncio.CancelledError):
    """The client hung up before its request was whole; nobody waits for an answer."""


class RestServer:
    """Runs the app by uvicorn inside the running event loop; signals stay with the caller."""

    def __init__(
        self,
        methods: Sequence[Method],
        middleware: Middleware,
        *,
        ready: Callable[[], Awaitable[bool]],
        max_request_bytes: int,
        cors_origins: Sequence[str] = (),
    ) -> None:
        app: Any = RestApp(methods, middleware, ready=ready, max_request_bytes=max_request_bytes)
        if cors_origins:
            app = CORSMiddleware(
                app,
                allow_origins=list(cors_origins),
                allow_methods=["*"],
                allow_headers=["*"],
                expose_headers=["x-request-id", "x-ignored-fields", "retry-after"],
            )
        self._app = app
        self._task: asyncio.Task[None] | None = None
        self._server: uvicorn.Server | None = None

    async def start(self, address: str, listener: socket.socket | None = None) -> str:
        """Listen, or serve a socket that listens already; the address with the port that was bound (port 0: a free one)."""
        listener = listener or listen(address)
        config = uvicorn.Config(
            self._app,
            http=HttpProtocol,
            ws="none",
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_keep_alive=75,
        )
        self._server = _QuietServer(config)
        self._task = asyncio.create_task(self._server.serve(sockets=[listener]))
        while not self._server.started:
            if self._task.done():
                self._task.result()
                raise RuntimeError("the HTTP server ended while it started")
            await asyncio.sleep(0.005)
        return with_port(address, listener)

    async def stop(self, grace: float) -> None:
        """Take no new connections, let requests under way end within `grace` seconds, then cut."""
        if self._server is None or self._task is None:
            return
        self._server.config.timeout_graceful_shutdown = max(1, int(grace))
        self._server.should_exit = True
        await self._task


class _QuietServer(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # signals are the app's: it drains both servers


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _metadata(scope: Scope) -> dict[str, str]:
    return {key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]}


def _form(metadata: Mapping[str, str]) -> str:
    """How the body is written, and the answer: PROTOBUF where the Content-Type says so, else JSON."""
    media_type = metadata.get("content-type", "").partition(";")[0].strip().lower()
    return PROTOBUF if media_type in _PROTOBUF else JSON


async def _chunks(receive: Receive, most: int) -> AsyncIterator[bytes]:
    """The body as it comes; ends early, without an error, past `most` bytes."""
    read = 0
    while read <= most:
        event = await receive()
        if event["type"] == "http.disconnect":
            raise _ClientGone
        chunk = event.get("body", b"")
        read += len(chunk)
        yield chunk
        if not event.get("more_body"):
            return


def _inflater(encoding: str) -> Callable[[bytes | None, int], Iterator[bytes]]:
    """A function from packed bytes to unpacked ones (at most `room` of them); None says that the body is at its end."""
    name = encoding.strip().lower()
    if name in ("", "identity"):
        return lambda data, room: iter((data,) if data else ())
    if name not in _INFLATE:
        raise SpanloomError(
            Code.INVALID_ARGUMENT,
            Reason.UNSUPPORTED_ENCODING,
            f"Content-Encoding {encoding!r} is not supported; send gzip, deflate or identity",
        )
    unpacker = zlib.decompressobj(_INFLATE[name])

    def inflate(data: bytes | None, room: int) -> Iterator[bytes]:
        nonlocal unpacker
        if data is None:
            if not unpacker.eof:
                raise _broken(name)
            return
        while data and room > 0:
            if unpacker.eof:  # gzip may have several members, one after the other (RFC 1952, 2.2)
                unpacker = zlib.decompressobj(_INFLATE[name])
            try:
                chunk = unpacker.decompress(data, room)
            except zlib.error:
                raise _broken(name) from None
            room -= len(chunk)
            data = unpacker.unused_data
            yield chunk

    return inflate


def _broken(encoding: str) -> SpanloomError:
    return SpanloomError(
        Code.INVALID_ARGUMENT, Reason.MALFORMED_BODY, f"the body is not a whole {encoding} stream"
    )


def _ignored_header(ignored: Sequence[str]) -> list[tuple[bytes, bytes]]:
    if not ignored:
        return []
    # Names come from the client: anything but plain ASCII would break the header.
    text = ", ".join(name for name in ignored if name.isascii() and name.isprintable())
    return [(b"x-ignored-fields", text[:2000].encode())]


async def _send_error(send: Send, error: SpanloomError, request_id: str, form: str) -> None:
    """The error as JSON, or to who sends protobuf as a google.rpc.Status in protobuf."""
    headers: list[tuple[bytes, bytes]] = []
    if error.retry_after is not None:
        headers.append((b"retry-after", str(max(1, round(error.retry_after))).encode()))
    if error.code is Code.UNAUTHENTICATED:
        headers.append((b"www-authenticate", b'Bearer realm="spanloom"'))
    if "allowed" in error.metadata:
        headers.append((b"allow", error.metadata["allowed"].encode()))
    body = (
        status.rpc_status(error, request_id).SerializeToString()
        if form == PROTOBUF
        else status.rest_body(error, request_id)
    )
    await _send(send, status.http_status(error), form, body, request_id, headers)


async def _send(
    send: Send,
    code: int,
    content_type: str,
    body: bytes,
    request_id: str,
    headers: list[tuple[bytes, bytes]],
) -> None:
    length = (b"content-length", str(len(body)).encode())
    await _start(send, code, content_type, request_id, [length, *headers])
    # A large body goes out as the client takes it; one write would copy all of it.
    last = max(0, len(body) - 1) // _BODY_SLICE * _BODY_SLICE
    for start in range(0, last, _BODY_SLICE):
        part = body[start : start + _BODY_SLICE]
        await send({"type": "http.response.body", "body": part, "more_body": True})
    await send({"type": "http.response.body", "body": body[last:]})


async def _start(
    send: Send,
    code: int,
    content_type: str,
    request_id: str,
    headers: list[tuple[bytes, bytes]],
) -> None:
    await send(
        {
            "type": "http.response.start",
            "status": code,
            "headers": [
                (b"content-type", content_type.encode()),
                (b"x-request-id", request_id.encode()),
                *headers,
            ],
        }
    )
