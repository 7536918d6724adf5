"""gRPC's reflection service: v1, and v1alpha, whose messages are the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.descriptor import FileDescriptor
from grpc_reflection.v1alpha import reflection, reflection_pb2

from spanloom.errors import shutting_down
from spanloom.server.grpc.call import metadata_of, refuse
from spanloom.server.middleware import request_id_of

_METHOD: Final = "ServerReflectionInfo"
_ALPHA_PACKAGE: Final = "grpc.reflection.v1alpha"
_PACKAGE: Final = "grpc.reflection.v1"
_NAMES: Final = (f"{_PACKAGE}.ServerReflection", reflection.SERVICE_NAME)


class _Pool:
    """A pool that also knows the files of methods: a symbol may be one (reflection.proto)."""

    def __init__(self, pool: descriptor_pool.DescriptorPool) -> None:
        self._pool = pool

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def FindFileContainingSymbol(self, symbol: str) -> FileDescriptor:  # noqa: N802 - of the pool
        try:
            return self._pool.FindFileContainingSymbol(symbol)
        except KeyError:
            return self._pool.FindMethodByName(symbol).containing_service.file


class Reflection:
    """Describes services by the default descriptor pool.

    Args:
        services: Full names; those of reflection itself are added.
    """

    def __init__(self, services: Sequence[str]) -> None:
        pool = descriptor_pool.Default()
        _describe_v1(pool)
        names = [*services, *_NAMES]
        self._servicer: Any = reflection.aio.ReflectionServicer(names, pool=_Pool(pool))
        self._closed = asyncio.Event()

    def handlers(self) -> list[grpc.GenericRpcHandler]:
        method = grpc.stream_stream_rpc_method_handler(
            self._answer,
            request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
            response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
        )
        return [grpc.method_handlers_generic_handler(name, {_METHOD: method}) for name in _NAMES]

    def close(self) -> None:
        """End the streams under way."""
        self._closed.set()

    async def _answer(self, _: object, context: Any) -> None:
        requests = self._requests(context)
        async for answer in self._servicer.ServerReflectionInfo(requests, context):
            await context.write(answer)
        if self._closed.is_set():
            await refuse(context, shutting_down(), request_id_of(metadata_of(context)))

    async def _requests(self, context: Any) -> AsyncIterator[Any]:
        closed = asyncio.create_task(self._closed.wait())
        try:
            while True:
                read = asyncio.create_task(context.read())
                try:
                    await asyncio.wait({read, closed}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    if not read.done():
                        read.cancel()
                if not read.done() or read.cancelled() or read.result() is grpc.aio.EOF:
                    return
                yield read.result()
        finally:
            closed.cancel()


def _describe_v1(pool: descriptor_pool.DescriptorPool) -> None:
    """Add the proto file of v1 to the pool: the package for Python has that of v1alpha only."""
    file = descriptor_pb2.FileDescriptorProto()
    reflection_pb2.DESCRIPTOR.CopyToProto(file)
    file.name, file.package = file.name.replace("v1alpha", "v1"), _PACKAGE
    for message in file.message_type:
        for field in message.field:
            if field.type_name:
                field.type_name = field.type_name.replace(_ALPHA_PACKAGE, _PACKAGE)
    for method in file.service[0].method:
        method.input_type = method.input_type.replace(_ALPHA_PACKAGE, _PACKAGE)
        method.output_type = method.output_type.replace(_ALPHA_PACKAGE, _PACKAGE)
    pool.AddSerializedFile(file.SerializeToString())
