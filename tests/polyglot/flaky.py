"""A gRPC server that is unavailable at the first call of each method, and else passes calls on."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc


class _Proxy(grpc.GenericRpcHandler):
    """Passes unary calls and tails on as bytes, with the key, and errors back with all details."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel
        self._seen: set[str] = set()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[bytes, bytes]:
        method = details.method
        key = [(k, v) for k, v in details.invocation_metadata or () if k == "authorization"]
        call: Any = self._channel.unary_unary(method)
        tail: Any = self._channel.unary_stream(method)

        def is_first(context: grpc.ServicerContext) -> None:
            if method not in self._seen:
                self._seen.add(method)
                context.abort(grpc.StatusCode.UNAVAILABLE, "call again")

        def handle(request: bytes, context: grpc.ServicerContext) -> Any:
            is_first(context)
            assert context.time_remaining() is not None, "the call has no deadline"
            try:
                return call(request, metadata=key, timeout=10)
            except grpc.RpcError as error:
                failed: Any = error
                context.set_trailing_metadata(failed.trailing_metadata())
                context.abort(failed.code(), failed.details())

        def follow(request: bytes, context: grpc.ServicerContext) -> Iterator[Any]:
            is_first(context)
            responses = tail(request, metadata=key, timeout=20)
            context.add_callback(responses.cancel)
            yield from responses

        if "/Tail" in method:
            return grpc.unary_stream_rpc_method_handler(follow)
        return grpc.unary_unary_rpc_method_handler(handle)


@contextmanager
def flaky(upstream: str) -> Iterator[str]:
    """The address of a flaky server before the one at `upstream`."""
    with grpc.insecure_channel(upstream) as channel:
        server = grpc.server(ThreadPoolExecutor(4), handlers=[_Proxy(channel)])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(None).wait()
