"""A small service on both servers, in a thread: the contract has no method that fails or waits."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from typing import Any

import grpc
import httpx
from google.api import annotations_pb2
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message import Message
from starlette.routing import BaseRoute

from spanloom.errors import Code, Reason, SpanloomError, invalid_field
from spanloom.model import uuid7
from spanloom.server.auth import NoAuth
from spanloom.server.grpc.server import GrpcServer
from spanloom.server.health import Health
from spanloom.server.http.app import http_app
from spanloom.server.http.server import HttpServer
from spanloom.server.methods import method_table
from spanloom.server.middleware import Middleware
from spanloom.services.context import CallContext

LIMIT = 1024 * 1024
PATHS = {
    "Wait": "/lab/wait",
    "Fail": "/lab/fail",
    "Count": "/lab/counts",
    "Join": "/lab/join",
    "Echo": "/lab/echos",
    "Repeat": "/lab/repeat",
}
# The methods that take a stream.
CLIENT_STREAMS = ("Join", "Echo")
# The methods that change nothing, as their options state.
READS = ("Repeat",)


def service(paths: Mapping[str, str], *, kind: str = "TYPE_STRING") -> str:
    """The full name of a new service whose methods take and give a message with one value.

    A method whose path ends in `s` streams.
    """
    file = descriptor_pb2.FileDescriptorProto(
        name=f"lab_{uuid7()}.proto",
        package=f"calls{uuid7()}",
        syntax="proto3",
        dependency=[annotations_pb2.DESCRIPTOR.name],
    )
    text = file.message_type.add(name="Text")
    text.field.add(name="value", number=1, type=kind, label="LABEL_OPTIONAL")
    message = f".{file.package}.Text"
    made = file.service.add(name="Lab")
    for method, path in paths.items():
        added = made.method.add(name=method, input_type=message, output_type=message)
        added.client_streaming = method in CLIENT_STREAMS
        added.server_streaming = path.endswith("s")
        if method in READS:
            added.options.idempotency_level = descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS
        rule = added.options.Extensions[annotations_pb2.http]
        rule.post, rule.body = path, "*" if method in CLIENT_STREAMS else "value"
    descriptor_pool.Default().AddSerializedFile(file.SerializeToString())
    return f"{file.package}.Lab"


class Lab:
    """Waits, fails and counts, as its request says; answers with the type of the request."""

    async def wait(self, request: Any, call: CallContext) -> Message:
        await asyncio.sleep(float(request.value))
        return text(request, "waited")

    async def fail(self, request: Any, call: CallContext) -> Message:
        if request.value == "known":
            raise invalid_field("value", "is known to be bad")
        if request.value == "allowed":
            metadata = {"allowed": "nothing"}
            raise SpanloomError(Code.INTERNAL, Reason.INTERNAL, "has metadata", metadata=metadata)
        raise ZeroDivisionError("secret cause")

    async def count(self, request: Any, call: CallContext) -> AsyncIterator[Message]:
        number, _, size = request.value.partition("x")
        for each in range(int(number)):
            yield text(request, str(each).ljust(int(size or 0)))
            await asyncio.sleep(0)
        if request.value == "3":
            raise invalid_field("value", "no more than 2")

    async def join(self, requests: AsyncIterator[Any], call: CallContext) -> Message:
        values = []
        async for request in requests:
            values.append(request.value)
            if request.value == "known":
                raise invalid_field("value", "is known to be bad")
        return text(request, "+".join(values))

    async def echo(self, requests: AsyncIterator[Any], call: CallContext) -> AsyncIterator[Message]:
        async for request in requests:
            if request.value == "known":
                raise invalid_field("value", "is known to be bad")
            yield text(request, request.value)

    async def repeat(self, request: Any, call: CallContext) -> Message:
        number, _, value = request.value.partition("x")
        return text(request, value * int(number))


def text(request: Any, value: str) -> Message:
    answer: Message = type(request)(value=value)
    return answer


async def always() -> bool:
    return True


class Bench:
    """Both servers on the lab service, in a thread."""

    def __init__(
        self, timeout: float = 10, max_in_flight: int = 64, routes: Sequence[BaseRoute] = ()
    ) -> None:
        self.name = service(PATHS)
        table = method_table({self.name: Lab()})
        self.text: Any = table[0].request_class
        self.middleware = Middleware(NoAuth(), timeout=timeout, max_in_flight=max_in_flight)
        self._table = table
        self._routes = routes
        self._started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)

    def __enter__(self) -> Bench:
        self._thread.start()
        assert self._started.wait(20)
        self.http = httpx.Client(
            base_url=f"http://{self.rest_address}", timeout=20, trust_env=False
        )
        self.channel = grpc.insecure_channel(self.grpc_address)
        return self

    def __exit__(self, *failure: object) -> None:
        self.http.close()
        self.channel.close()
        self.stop()
        self._thread.join(20)

    def stop(self) -> None:
        """Drain both servers."""
        with contextlib.suppress(RuntimeError):  # it was stopped, and the loop is closed
            self.loop.call_soon_threadsafe(self._stop.set)

    async def _main(self) -> None:
        self.loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        rpc = GrpcServer(self._table, self.middleware, max_request_bytes=LIMIT)
        health = Health()
        rest = HttpServer(
            http_app(
                self._table,
                self.middleware,
                health=health,
                max_request_bytes=LIMIT,
                routes=self._routes,
            ),
            health=health,
        )
        watch = asyncio.create_task(health.watch(always))
        self.grpc_address = await rpc.start("127.0.0.1:0")
        self.rest_address = await rest.start("127.0.0.1:0")
        self._started.set()
        await self._stop.wait()
        await asyncio.gather(rpc.stop(5), rest.stop(5))
        watch.cancel()

    def grpc(self, method: str, value: str, **options: Any) -> Any:
        """The answer, or the stream of answers, of a gRPC call."""
        message = self.text(value=value).SerializeToString()
        kind = self.channel.unary_stream if method == "Count" else self.channel.unary_unary
        call: Any = kind(f"/{self.name}/{method}")
        return call(message, **{"timeout": 20, **options})

    def grpc_stream(self, method: str, values: Iterable[str], **options: Any) -> Any:
        """As `grpc`, for a method that takes a stream."""
        kind = self.channel.stream_stream if method == "Echo" else self.channel.stream_unary
        call: Any = kind(f"/{self.name}/{method}")
        messages = (self.text(value=value).SerializeToString() for value in values)
        return call(messages, **{"timeout": 20, **options})

    def rest(self, method: str, value: str, **options: Any) -> httpx.Response:
        return self.http.post(PATHS[method], json=value, **options)
