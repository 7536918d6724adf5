"""The method table: every RPC of the contract with the code that answers it.

All transports are made from it. A service is an object with one function for each RPC, named like
the RPC in snake_case. It is a coroutine, or an async generator for an RPC with many answers; it
takes the request, or an async iterator of the requests of a client stream, and the call's context.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message

from spanloom.errors import SetupError
from spanloom.services.context import CallContext
from spanloom.v1 import access_pb2

# What a method takes: a message, or what an adapter read in its place (`http.json_form`).
Request = Any


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
    def takes_many(self) -> bool:
        """Whether the client sends a stream of requests."""
        return bool(self.descriptor.client_streaming)

    @property
    def gives_many(self) -> bool:
        """Whether the answer is a stream of messages."""
        return bool(self.descriptor.server_streaming)

    @property
    def takes_refusals(self) -> bool:
        """Whether the answer takes what cannot be read as a request as an error in the stream, and
        goes on. Else it ends the stream."""
        return bool(getattr(self.answer, "takes_refusals", False))

    @property
    def is_bulk(self) -> bool:
        """Whether the answer is a stream of all that is stored, for which nobody waits as for the
        answers of other calls."""
        return bool(getattr(self.answer, "is_bulk", False))

    @property
    def is_paced(self) -> bool:
        """Whether a call writes spans, with one request and one answer."""
        return self.role == "ingest" and not (self.takes_many or self.gives_many)

    @property
    def is_read(self) -> bool:
        """Whether its proto file states that a call changes nothing."""
        level = descriptor_pb2.MethodOptions.NO_SIDE_EFFECTS
        return bool(self.descriptor.GetOptions().idempotency_level == level)


def method_table(
    services: Mapping[str, object], roles: Mapping[str, str] | None = None
) -> list[Method]:
    """All methods of the services.

    Args:
        services: By their full proto name: `{"spanloom.v1.TraceService": TraceService(store)}`.
        roles: By service, the role that its callers need if its proto files do not say so, because
            they belong to another project.

    Raises:
        SetupError: A service has no method for one of its RPCs.
    """
    pool = descriptor_pool.Default()
    return [
        _method(descriptor, service, (roles or {}).get(name, ""))
        for name, service in services.items()
        for descriptor in pool.FindServiceByName(name).methods
    ]


def _method(descriptor: MethodDescriptor, service: object, role: str) -> Method:
    where = f"{descriptor.containing_service.file.name}: rpc {descriptor.full_name}"
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
