"""A gRPC server that answers as a test says: refusals, interruptions, and what it was asked."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

Handler = Callable[[Any, grpc.ServicerContext], Any]


def refuse(
    context: grpc.ServicerContext, code: grpc.StatusCode, *, retry: float | None = None
) -> None:
    """End the call with an error as Spanloom writes it."""
    status = status_pb2.Status(code=code.value[0], message="not now")
    info = error_details_pb2.ErrorInfo(reason="ERROR_REASON_QUEUE_FULL", domain="spanloom")
    status.details.add().Pack(info)
    if retry is not None:
        delay = Duration()
        delay.FromMilliseconds(int(retry * 1000))
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    context.abort_with_status(rpc_status.to_status(status))


@contextlib.contextmanager
def scripted(add: Callable[[Any, grpc.Server], None], servicer: Any) -> Iterator[str]:
    """The URL of a server with one service."""
    with futures.ThreadPoolExecutor(4) as pool:
        server = grpc.server(pool)
        add(servicer, server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            server.stop(None).wait()
