"""The gRPC server: the method table on grpc.aio."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from functools import partial
from typing import Any, Final

import grpc
from google.protobuf.message import Message
from grpc_health.v1 import health, health_pb2_grpc

from spanloom.codec.json_parse import printable
from spanloom.codec.offload import run_in_thread_if_large
from spanloom.errors import Code, Reason, SpanloomError
from spanloom.model.held import HELD
from spanloom.server.admission import STREAM_COPIES, Held
from spanloom.server.call_log import log_refusal
from spanloom.server.certificates import Certificates, Identity
from spanloom.server.compression import WORTH_COMPRESSING, is_packed, unpacked_message
from spanloom.server.grpc.call import Context, begin, metadata_of, refuse, succeed
from spanloom.server.grpc.health import HealthServicer
from spanloom.server.grpc.reads import Reads
from spanloom.server.grpc.reflection import Reflection
from spanloom.server.listener import listen
from spanloom.server.messages import message_of, not_one_message
from spanloom.server.methods import Method
from spanloom.server.middleware import REQUEST_ID, Middleware, request_id_of
from spanloom.services.context import Notes

TRANSPORT = "grpc"
# Calls that wait for their handler. gRPC's core cancels what is beyond, without a word to anybody;
# the middleware refuses what is beyond its own limit, which is lower, with RetryInfo.
_PENDING: Final = 16_384
# gRPC's core compresses on the event loop, where all other calls wait: 12 ms for so many bytes
# (docs/performance.md).
_MOST_COMPRESSED: Final = 256 * 1024
# Compression makes at most about 1,000 bytes of one.
_PACKED_BYTES_A_UNIT: Final = 128
_OPTIONS: Final = (
    ("grpc.server.max_pending_requests", _PENDING),
    ("grpc.server.max_pending_requests_hard_limit", 2 * _PENDING),
    ("grpc.max_send_message_length", -1),
    # Clients may send a ping every 10 s, with and without calls; half of it allows for delays.
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # The server finds out in this time that a reader has died.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.http2.max_pings_without_data", 0),  # any number: a quiet stream has none
    # Messages are unpacked here: gRPC's core unpacks past every limit, and before the key is known.
    ("grpc.per_message_decompression", 0),
    # "Low", which is gzip for clients that accept it, and nothing for others.
    ("grpc.default_compression_level", 1),
)


class GrpcServer:
    """grpc.aio with one generic handler for all methods of the table.

    Health is SERVICE_UNKNOWN until `set_serving` is called.

    Args:
        max_request_bytes: Larger messages are refused with REQUEST_TOO_LARGE.
        shared_port: Other processes may listen on the same port.
        certificates: For TLS; None for plain text.
        handshake_seconds: How long a new connection may take until it can be called.
        max_connection_age: After so many seconds, a tenth more or less, a connection takes no new
            calls, and its client connects again; 0 for never.
    """

    def __init__(
        self,
        methods: Sequence[Method],
        middleware: Middleware,
        *,
        max_request_bytes: int,
        shared_port: bool = False,
        max_connection_age: float = 0,
        certificates: Certificates | None = None,
        handshake_seconds: float = 10.0,
    ) -> None:
        self._shared_port = shared_port
        self._certificates = certificates
        options = [
            *_OPTIONS,
            # Up to twice the limit is received, so that the refusal can say why; gRPC itself
            # refuses what is larger.
            ("grpc.max_receive_message_length", 2 * max_request_bytes),
            ("grpc.so_reuseport", int(shared_port)),
            ("grpc.server_handshake_timeout_ms", max(1, int(handshake_seconds * 1000))),
        ]
        if max_connection_age:
            options.append(("grpc.max_connection_age_ms", int(max_connection_age * 1000)))
        self._server = grpc.aio.server(options=options)
        self._services = sorted({m.descriptor.containing_service.full_name for m in methods})
        self._health = HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._reflection = Reflection([*self._services, health.SERVICE_NAME])
        handlers = _Handlers(methods, middleware, max_request_bytes)
        # The last one answers whatever no other handler knows.
        self._server.add_generic_rpc_handlers((*self._reflection.handlers(), handlers))

    async def start(self, address: str) -> str:
        """Listen on HOST:PORT (port 0 asks for a free one); the address with the port in use.

        Raises:
            SetupError: It cannot be listened on.
        """
        # gRPC says only on standard error why it cannot listen: find out first.
        if not self._shared_port:
            listen(address).close()
        if self._certificates:
            port = self._server.add_secure_port(address, _credentials(self._certificates))
        else:
            port = self._server.add_insecure_port(address)
        await self._server.start()
        return f"{address.rpartition(':')[0]}:{port}"

    async def set_serving(self, serving: bool) -> None:
        await self._health.set_serving(["", *self._services], serving)

    async def stop(self, grace: float) -> None:
        """Refuse new calls, let those under way end within `grace` seconds, then cancel them.

        Streams of health and reflection end at once, those of methods when the middleware drains.
        """
        await self._health.close()
        self._reflection.close()
        await self._server.stop(grace)


class _Handlers(grpc.GenericRpcHandler):
    """Finds the handler of a call, also for a method that does not exist.

    To gRPC every method takes a stream: then the request is read only after the key is known, and
    a call that ends without a message is answered. grpc.aio answers it never for other methods.
    """

    def __init__(
        self, methods: Sequence[Method], middleware: Middleware, max_request_bytes: int
    ) -> None:
        self._middleware = middleware
        self._max_request_bytes = max_request_bytes
        self._reads = Reads(middleware.budget)
        self._handlers = {f"/{method.full_name}": self._handler(method) for method in methods}

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        return self._handlers.get(details.method) or _unknown(details.method)

    def _handler(self, method: Method) -> grpc.RpcMethodHandler[Any, Any]:
        if method.gives_many:
            return grpc.stream_stream_rpc_method_handler(self._many(method))
        return grpc.stream_unary_rpc_method_handler(self._one(method))

    # grpc.aio's types of handlers are not public.
    def _one(self, method: Method):  # type: ignore[no-untyped-def]
        async def answer(_: object, context: Context) -> bytes:
            metadata = metadata_of(context)
            if self._middleware.is_crowded(method):
                request_id = request_id_of(metadata)
                refusal = self._middleware.refused(method, metadata, request_id, TRANSPORT)
                if refusal:
                    await refuse(context, refusal, request_id)
            request_id = begin(context, metadata)
            notes = Notes()
            held = self._held(context)
            incoming = self._held(context) if method.takes_many else held
            HELD.set(held)
            result = await self._middleware.unary(
                method,
                metadata,
                lambda: self._read(method, context, incoming),
                request_id=request_id,
                transport=TRANSPORT,
                time_left=context.time_remaining(),
                notes=notes,
            )
            data = await _bytes(result, request_id, context, held)
            if notes.headers:
                context.set_trailing_metadata(((REQUEST_ID, request_id), *notes.headers.items()))
            await succeed(context, request_id)
            return data

        return answer

    def _many(self, method: Method):  # type: ignore[no-untyped-def]
        async def answer(_: object, context: Context) -> None:
            metadata = metadata_of(context)
            request_id = begin(context, metadata)
            incoming, held = self._held(context), self._held(context)
            HELD.set(held)
            results = self._middleware.stream(
                method,
                metadata,
                lambda: self._read(method, context, incoming),
                request_id=request_id,
                transport=TRANSPORT,
                time_left=context.time_remaining(),
            )
            # Written here, not yielded: gRPC does not close a generator when the client cancels.
            is_first = True
            async with contextlib.aclosing(results):
                async for result in results:
                    data = await _bytes(result, request_id, context, held, copies=STREAM_COPIES)
                    del result  # it may be large, and the client slow
                    if is_first:
                        is_first = False
                        await succeed(context, request_id)
                    await context.write(data)

        return answer

    def _held(self, context: Context) -> Held:
        """What a call holds until its client has taken the answer, or has left."""
        held = Held(self._middleware.budget)
        context.add_done_callback(lambda _: held.end())  # type: ignore[arg-type] # of the stubs
        return held

    async def _read(
        self, method: Method, context: Context, held: Held
    ) -> Message | AsyncIterator[Message]:
        requests = self._requests(method, context, held)
        if method.takes_many:
            return requests
        async for request in requests:
            return request
        raise not_one_message("none")

    async def _requests(
        self, method: Method, context: Context, held: Held
    ) -> AsyncIterator[Message]:
        while (data := await self._reads.read(context)) is not None:
            held.keep(len(data))
            packed = [data]
            del data  # nobody has the bytes while the message is worked on
            yield await self._message(method, packed, held)

    async def _message(self, method: Method, packed: list[bytes], held: Held) -> Message:
        """The message in the only bytes of the list, which is emptied."""
        data, limit = packed.pop(), self._max_request_bytes
        if is_packed(data):
            units = len(data) // _PACKED_BYTES_A_UNIT
            unpack = partial(unpacked_message, data, limit, held)
            data = await run_in_thread_if_large(units, unpack)
            del unpack
        return await message_of(method.request_class, data, limit)


def _credentials(certificates: Certificates) -> grpc.ServerCredentials:
    """Those of the files as they are at each handshake."""

    def configuration(identity: Identity) -> grpc.ServerCertificateConfiguration:
        pair = (identity.key, identity.certificate)
        return grpc.ssl_server_certificate_configuration([pair], identity.client_ca or None)

    given = certificates.latest()

    def newer() -> grpc.ServerCertificateConfiguration | None:
        nonlocal given
        if (latest := certificates.latest()) is given:
            return None
        given = latest
        return configuration(latest)

    return grpc.dynamic_ssl_server_credentials(
        configuration(given),
        newer,  # type: ignore[arg-type] # None means that nothing is new
        require_client_authentication=certificates.needs_client,
    )


def _unknown(path: str) -> grpc.RpcMethodHandler[Any, Any]:
    async def answer(_: object, context: Context) -> bytes:
        request_id = begin(context, metadata_of(context))
        name = printable(path)
        error = SpanloomError(
            Code.UNIMPLEMENTED, Reason.ROUTE_NOT_FOUND, f"the server has no method {name}"
        )
        log_refusal(error, request_id, transport=TRANSPORT, target=name)
        await refuse(context, error, request_id)

    return grpc.stream_unary_rpc_method_handler(answer)


async def _bytes(
    result: Message | SpanloomError,
    request_id: str,
    context: Context,
    held: Held,
    *,
    copies: int = 1,
) -> bytes:
    """The bytes of an answer, which are held so many times."""
    if isinstance(result, SpanloomError):
        await refuse(context, result, request_id)
    data = result.SerializeToString()
    try:
        held.keep(copies * len(data))
    except SpanloomError as refusal:
        await refuse(context, refusal, request_id)
    if not WORTH_COMPRESSING <= len(data) <= _MOST_COMPRESSED:
        context.disable_next_message_compression()
    return data
