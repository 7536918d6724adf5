"""The gRPC door: the method table on grpc.aio, with health and reflection."""

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
from spanloom.errors import Code, Reason, SpanloomError
from spanloom.server import status
from spanloom.server.http.transcode import malformed
from spanloom.server.listener import listen
from spanloom.server.methods import Method
from spanloom.server.middleware import Middleware, Outcome

TRANSPORT = "grpc"

Context = grpc.aio.ServicerContext[bytes, bytes]


class GrpcServer:
    """grpc.aio with one generic handler for each service of the table.

    `shared_port` lets other processes listen on the same port. Messages past `max_request_bytes` are refused with REQUEST_TOO_LARGE. Health is NOT_SERVING until `set_serving(True)`.
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
                # Twice the limit reaches us, so that the refusal can say why; gRPC itself cuts off what is larger.
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
        """Listen, and give the address with the port that was bound (port 0 asks for a free one). SetupError when it cannot be."""
        # gRPC tells only standard error why it cannot listen: find out first.
        if not self._shared_port:
            listen(address).close()
        port = self._server.add_insecure_port(address)
        await self.set_serving(False)
        await self._server.start()
        return f"{address.rpartition(':')[0]}:{port}"

    async def set_serving(self, serving: bool) -> None:
        states = health_pb2.HealthCheckResponse
        state = states.SERVING if serving else states.NOT_SERVING
        for service in ["", *self._services]:
            await self._health.set(service, state)

    async def stop(self, grace: float) -> None:
        """Take no new calls, let those under way end within `grace` seconds, then cut."""
        await self._health.enter_graceful_shutdown()
        await self._server.stop(grace)

    def _handler(self, method: Method) -> grpc.RpcMethodHandler[Any, Any]:
        # Requests stay bytes until the caller is known; see Middleware.unary.
        if method.streams:
            return grpc.unary_stream_rpc_method_handler(self._stream(method))
        return grpc.unary_unary_rpc_method_handler(self._unary(method))

    def _unary(self, method: Method):  # type: ignore[no-untyped-def]  # grpc.aio's handler types are not public
        async def answer(data: bytes, context: Context) -> bytes:
            outcome = await self._middleware.unary(
                method,
                _metadata(context),
                lambda: self._read(method, data),
                transport=TRANSPORT,
                time_left=context.time_remaining(),
            )
            context.set_trailing_metadata((("x-request-id", outcome.request_id),))
            return await _bytes(outcome, context)

        return answer

    def _stream(self, method: Method):  # type: ignore[no-untyped-def]  # grpc.aio's handler types are not public
        async def answer(data: bytes, context: Context) -> None:
            outcomes = self._middleware.stream(
                method, _metadata(context), lambda: self._read(method, data), transport=TRANSPORT
            )
            # Written here, not yielded: gRPC would leave a generator where it stands when the client cancels.
            async with contextlib.aclosing(outcomes):
                async for outcome in outcomes:
                    await context.write(await _bytes(outcome, context))

        return answer

    async def _read(self, method: Method, data: bytes) -> Message:
        if len(data) > self._max_request_bytes:
            raise too_large(self._max_request_bytes)
        message = method.request_class()
        try:
            await run_in_thread_if_large(len(data) // 1024, partial(merge, message, data))
        except DecodeError:
            raise malformed(message) from None
        return message


def too_large(limit: int) -> SpanloomError:
    return SpanloomError(
        Code.RESOURCE_EXHAUSTED,
        Reason.REQUEST_TOO_LARGE,
        f"the request is larger than {limit} bytes, the server's limit",
        metadata={"limit_bytes": str(limit)},
    )


def _metadata(context: Context) -> Mapping[str, str]:
    pairs = context.invocation_metadata() or ()
    return {key: value for key, value in pairs if isinstance(value, str)}


async def _bytes(outcome: Outcome, context: Context) -> bytes:
    """The message's bytes. An error ends the call with no message: a transcoder in front would take one for the answer."""
    if not isinstance(outcome.result, SpanloomError):
        return outcome.result.SerializeToString()
    rpc_status = status.rpc_status(outcome.result, outcome.request_id)
    await context.abort(
        status.grpc_code(outcome.result),
        rpc_status.message,
        (
            ("x-request-id", outcome.request_id),
            ("grpc-status-details-bin", rpc_status.SerializeToString()),
        ),
    )
    raise RuntimeError("abort did not end the call")
