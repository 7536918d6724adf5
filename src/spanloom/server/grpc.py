"""gRPC: the method table on grpc.aio, with health and reflection."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.message import DecodeError, Message
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from spanloom.codec.large_message import merge
from spanloom.codec.offload import run_in_thread_if_large
from spanloom.errors import SpanloomError, malformed_message, request_too_large
from spanloom.server import status
from spanloom.server.listener import listen
from spanloom.server.metadata import as_text
from spanloom.server.methods import Method
from spanloom.server.middleware import REQUEST_ID, Middleware, request_id_of
from spanloom.services.context import Notes

TRANSPORT = "grpc"
_PROJECT = "x-spanloom-project"

Context = grpc.aio.ServicerContext[bytes, bytes]


class GrpcServer:
    """grpc.aio with one generic handler for each service of the table.

    Health is SERVICE_UNKNOWN until `set_serving` is called.

    Args:
        max_request_bytes: Larger messages are refused with REQUEST_TOO_LARGE.
        shared_port: Other processes may listen on the same port.
    """

    def __init__(
        self,
        methods: Sequence[Method],
        middleware: Middleware,
        *,
        max_request_bytes: int,
        shared_port: bool = False,
    ) -> None:
        self._middleware = middleware
        self._shared_port = shared_port
        self._max_request_bytes = max_request_bytes
        self._server = grpc.aio.server(
            options=[
                # Up to twice the limit is received, so that the refusal can say why; gRPC itself
                # refuses what is larger.
                ("grpc.max_receive_message_length", 2 * max_request_bytes),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", int(shared_port)),
            ]
        )
        by_service: dict[str, dict[str, grpc.RpcMethodHandler[Any, Any]]] = {}
        for method in methods:
            service = method.descriptor.containing_service.full_name
            by_service.setdefault(service, {})[method.descriptor.name] = self._handler(method)
        self._services = sorted(by_service)
        self._server.add_generic_rpc_handlers(
            [grpc.method_handlers_generic_handler(*entry) for entry in by_service.items()]
        )
        self._health = health.aio.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            [*self._services, health.SERVICE_NAME, reflection.SERVICE_NAME],
            self._server,
            pool=descriptor_pool.Default(),
        )

    async def start(self, address: str) -> str:
        """Listen on HOST:PORT (port 0 asks for a free one); the address with the port in use.

        Raises:
            SetupError: It cannot be listened on.
        """
        # gRPC says only on standard error why it cannot listen: find out first.
        if not self._shared_port:
            listen(address).close()
        port = self._server.add_insecure_port(address)
        await self._server.start()
        return f"{address.rpartition(':')[0]}:{port}"

    async def set_serving(self, serving: bool) -> None:
        states = health_pb2.HealthCheckResponse
        state = states.SERVING if serving else states.NOT_SERVING
        for service in ["", *self._services]:
            await self._health.set(service, state)

    async def stop(self, grace: float) -> None:
        """Refuse new calls, let those under way end within `grace` seconds, then cancel them."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace)

    def _handler(self, method: Method) -> grpc.RpcMethodHandler[Any, Any]:
        # Requests stay bytes until the caller is known; see Middleware.unary.
        if method.streams:
            return grpc.unary_stream_rpc_method_handler(self._stream(method))
        return grpc.unary_unary_rpc_method_handler(self._unary(method))

    # grpc.aio's types of handlers are not public.
    def _unary(self, method: Method):  # type: ignore[no-untyped-def]
        async def answer(data: bytes, context: Context) -> bytes:
            metadata = _metadata(context)
            request_id = _answer_with_id(metadata, context)
            notes = Notes()
            result = await self._middleware.unary(
                method,
                metadata,
                lambda: self._read(method, data),
                request_id=request_id,
                transport=TRANSPORT,
                time_left=context.time_remaining(),
                notes=notes,
            )
            if notes.headers:
                context.set_trailing_metadata(((REQUEST_ID, request_id), *notes.headers.items()))
            return await _bytes(result, request_id, context)

        return answer

    def _stream(self, method: Method):  # type: ignore[no-untyped-def]
        async def answer(data: bytes, context: Context) -> None:
            metadata = _metadata(context)
            request_id = _answer_with_id(metadata, context)
            results = self._middleware.stream(
                method,
                metadata,
                lambda: self._read(method, data),
                request_id=request_id,
                transport=TRANSPORT,
            )
            # Written here, not yielded: gRPC does not close a generator when the client cancels.
            async with contextlib.aclosing(results):
                async for result in results:
                    await context.write(await _bytes(result, request_id, context))

        return answer

    async def _read(self, method: Method, data: bytes) -> Message:
        if len(data) > self._max_request_bytes:
            raise request_too_large(self._max_request_bytes)
        message = method.request_class()
        try:
            await run_in_thread_if_large(len(data) // 1024, partial(merge, message, data))
        except DecodeError:
            raise malformed_message(message.DESCRIPTOR.full_name) from None
        return message


def _metadata(context: Context) -> dict[str, str]:
    """The call's metadata as text.

    gRPC's text metadata is ASCII, so the name of a project that is not comes as `-bin`, in UTF-8.
    """
    found: dict[str, str] = {}
    for key, value in context.invocation_metadata() or ():
        if isinstance(value, str):
            found[key] = value
        elif key == f"{_PROJECT}-bin":
            found[_PROJECT] = as_text(value)
    return found


def _answer_with_id(metadata: Mapping[str, str], context: Context) -> str:
    """The call's request id, which becomes a trailer however the call ends."""
    request_id = request_id_of(metadata)
    context.set_trailing_metadata(((REQUEST_ID, request_id),))
    return request_id


async def _bytes(result: Message | SpanloomError, request_id: str, context: Context) -> bytes:
    """The message's bytes.

    An error ends the call with no message: a transcoder in front of the server would take one for
    the answer.
    """
    if not isinstance(result, SpanloomError):
        return result.SerializeToString()
    rpc_status = status.rpc_status(result, request_id)
    await context.abort(
        status.grpc_code(result),
        rpc_status.message,
        (
            (REQUEST_ID, request_id),
            ("grpc-status-details-bin", rpc_status.SerializeToString()),
        ),
    )
    raise RuntimeError("abort did not end the call")
