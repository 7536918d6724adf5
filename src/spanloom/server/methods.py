"""The method table: every RPC of the contract with the code that answers it. Both transports are made from it.

A service is an object with one coroutine (or, for a server stream, one async generator) for each RPC, named like the RPC in
snake_case. A missing one stops the start.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from spanloom.services.context import CallContext
from spanloom.v1 import access_pb2


@dataclass(frozen=True, slots=True)
class Method:
    """One RPC: its descriptor, its messages, the role that its callers need ("" for none), and its answer."""

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
    services: Mapping[str, object], roles: Mapping[str, str] | None = None
) -> list[Method]:
    """All methods of the services, given by full proto name: `{"spanloom.v1.TraceService": TraceService(store), ...}`.

    `roles` says by service which role its callers need where its proto files, being another project's, do not.
    """
    pool = descriptor_pool.Default()
    return [
        Method(
            descriptor=method,
            request_class=message_factory.GetMessageClass(method.input_type),
            response_class=message_factory.GetMessageClass(method.output_type),
            role=_role(method) or (roles or {}).get(name, ""),
            answer=getattr(service, _snake_case(method.name)),
        )
        for name, service in services.items()
        for method in pool.FindServiceByName(name).methods
    ]


def _role(method: MethodDescriptor) -> str:
    role = method.GetOptions().Extensions[access_pb2.required_role]
    return "" if not role else access_pb2.Role.Name(role).removeprefix("ROLE_").lower()


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
