"""One call of an RPC protocol over HTTP: what is known of its request, and what its answer has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from google.protobuf.message import Message
from google.rpc import status_pb2
from starlette.types import Scope

from spanloom.codec.offload import run_in_thread_if_large
from spanloom.errors import Code, Reason, SpanloomError
from spanloom.server import compression
from spanloom.server.admission import Held
from spanloom.server.http import json_form
from spanloom.server.messages import message_of
from spanloom.server.methods import Method, Request

_IDENTITY = ("", "identity")
_GZIP = "gzip"
# Compressing takes a quarter of the time that the offloading counts for a kilobyte of text.
_PACKED_BYTES_A_UNIT = 4096


@dataclass(frozen=True, slots=True)
class Protocol:
    """What tells the streams of Connect and of gRPC-Web apart.

    Attributes:
        transport: The name in the log.
        encoding: The header that names the compression of the messages.
        accept_encoding: The header that lists what the other side reads.
        time_left: The seconds that the request's headers give the call.
        end: The last envelope, from the call's status (None for success) and trailers.
    """

    transport: str
    encoding: str
    accept_encoding: str
    time_left: Callable[[Mapping[str, str]], float | None]
    end: Callable[[status_pb2.Status | None, Sequence[tuple[str, str]]], bytes]


@dataclass(slots=True)
class Exchange:
    """A call.

    Attributes:
        metadata: The request's headers, names in lower case.
        is_json: Whether messages are JSON, in both directions.
        query: The parameters of a GET.
        headers: Of the answer, names in lower case.
        trailers: Of the answer, names in lower case.
    """

    method: Method
    protocol: Protocol
    scope: Scope
    metadata: Mapping[str, str]
    request_id: str
    is_json: bool
    time_left: float | None = None
    query: Mapping[str, str] = field(default_factory=dict)
    headers: list[tuple[str, str]] = field(default_factory=list)
    trailers: list[tuple[str, str]] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)

    async def read(self, data: bytes, encoding: str, limit: int, held: Held) -> Request:
        """The request.

        Args:
            held: Takes what the data is unpacked to.
            encoding: The compression of the data, which `check_encoding` accepts.

        Raises:
            SpanloomError: REQUEST_TOO_LARGE; MALFORMED_BODY; INVALID_FIELD.
        """
        if data and encoding == _GZIP:
            data = await run_in_thread_if_large(
                len(data) // 128, partial(compression.unpacked, data, encoding, limit, held)
            )
        if not self.is_json:
            return await message_of(self.method.request_class, data, limit)
        message, ignored = await run_in_thread_if_large(
            len(data) // 1024, partial(json_form.read, self.method.request_class, data)
        )
        if refused := json_form.refused_names(self.method, ignored):
            raise json_form.unknown_fields(self.method.descriptor.input_type, refused)
        self.ignored.extend(ignored)
        return message

    async def write(self, message: Message) -> bytes:
        """The bytes of a message of the answer."""
        if not self.is_json:
            return message.SerializeToString()
        return await run_in_thread_if_large(
            message.ByteSize() // 1024, partial(json_form.write, message)
        )


async def pack(data: bytes, accepted: str) -> tuple[bytes, bool]:
    """The data, compressed if that is worth it and the client accepts it; whether it is.

    Args:
        accepted: The value of the header that lists what the client accepts.
    """
    if len(data) < compression.WORTH_COMPRESSING or not accepts_gzip(accepted):
        return data, False
    units = len(data) // _PACKED_BYTES_A_UNIT
    return await run_in_thread_if_large(units, partial(compression.gzipped, data)), True


def accepts_gzip(accepted: str) -> bool:
    """Whether a header like Accept-Encoding lists gzip, and not with a weight of 0."""
    for each in accepted.split(","):
        name, _, weight = each.strip().partition(";")
        if name.strip().lower() == _GZIP:
            return weight.replace(" ", "") not in ("q=0", "q=0.0", "q=0.00", "q=0.000")
    return False


def check_encoding(encoding: str) -> str:
    """The compression of a request, in lower case.

    Raises:
        SpanloomError: UNIMPLEMENTED if it is not read here.
    """
    name = encoding.strip().lower()
    if name not in (*_IDENTITY, _GZIP):
        raise SpanloomError(
            Code.UNIMPLEMENTED,
            Reason.UNSUPPORTED_ENCODING,
            f"the compression {encoding[:100]!r} is not supported; send gzip or identity",
        )
    return name
