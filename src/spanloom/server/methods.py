"""The method table: every RPC of the contract with the code that answers it.

Both transports are made from it. A service is an object with one coroutine (or, for a server
stream, one async generator) for each RPC, named like the RPC in snake_case.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from spanloom.errors import SetupError
from spanloom.services.context import CallContext
from spanloom.v1 import access_pb2


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC: its descriptor, its messages, its callers' role ("" for any), and its answer."""

    descriptor: MethodDescriptor
    request_class: type[Message]
    response_class: type[Message]
    role: str
    answer: Callable[[Any, CallContext], Any]

    @property
    def full_name(self) -> str:
        """As in gRPC paths and logs: `spanloom.v1.TraceService/CreateTrace`."""
        service = self.descriptor.containing_service
        return f"{service.full_name}/{self.descriptor.name}"

    @property
    def streams(self) -> bool:
        return bool(self.descriptor.server_streaming)


def method_table(
    services: Mapping[str, object],
    roles: Mapping[str, str] | None = None,
    without: Collection[str] = (),
) -> list[Method]:
    """All methods of the services.

    Args:
        services: By their full proto name: `{"spanloom.v1.TraceService": TraceService(store)}`.
        roles: By service, the role that its callers need if its proto files do not say so, because
            they belong to another project.
        without: Full names of RPCs that are not served.

    Raises:
        SetupError: An RPC cannot be served: its service has no method for it, or it is a client
            stream.
    """
    pool = descriptor_pool.Default()
    return [
        _method(descriptor, service, (roles or {}).get(name, ""))
        for name, service in services.items()
        for descriptor in pool.FindServiceByName(name).methods
        if descriptor.full_name not in without
    ]


def _method(descriptor: MethodDescriptor, service: object, role: str) -> Method:
    where = f"{descriptor.containing_service.file.name}: rpc {descriptor.full_name}"
    if descriptor.client_streaming:
        raise SetupError(f"{where}: client streams are not supported")
    name = _snake_case(descriptor.name)
    answer = getattr(service, name, None)
    if answer is None:
        raise SetupError(f"{where}: {type(service).__name__} has no method {name!r}")
    return Method(
        descriptor=descriptor,
        request_class=message_factory.GetMessageClass(descriptor.input_type),
        response_class=message_factory.GetMessageClass(descriptor.output_type),
        role=_role(descriptor) or role,
        answer=answer,
    )


def _role(method: MethodDescriptor) -> str:
    role = method.GetOptions().Extensions[access_pb2.required_role]
    return "" if not role else access_pb2.Role.Name(role).removeprefix("ROLE_").lower()


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
