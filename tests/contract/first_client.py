"""A client of the first contract: that of the commit with which docs/stability.md begins.

`python -m tests.contract.first_client` records what the server answers to it. Do that only when a
request is added, because the answers of then are what later clients have to read.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from tests.clients import PACKAGE, full_name, headers
from tests.contract.test_projects import CREATE_EXPERIMENT, DELETES, READS, WRITES, requests
from tests.servers import LiveServer

DATA = Path(__file__).parent.parent / "data" / "first_contract"
ANSWERS = DATA / "answers.json"
PROJECT = "default"


class FirstClient:
    """Calls a server with the messages of then, over gRPC."""

    def __init__(self, address: str, key: str) -> None:
        self._channel = grpc.insecure_channel(address)
        self._metadata = list(headers(key, None).items())

    def call(self, name: str, fields: dict[str, Any]) -> list[bytes]:
        """The answers of a method, one unless it is a stream, as they are on the wire."""
        method = method_of(name)
        request = json_format.ParseDict(fields, GetMessageClass(method.input_type)())
        path = f"/{full_name(name)}"
        make = self._channel.unary_stream if method.server_streaming else self._channel.unary_unary
        send: Any = make(path, request_serializer=None, response_deserializer=None)
        answer = send(request.SerializeToString(), metadata=self._metadata, timeout=30)
        return list(answer) if method.server_streaming else [answer]

    def close(self) -> None:
        self._channel.close()


def _pool() -> DescriptorPool:
    found = DescriptorPool()
    for file in FILES.file:
        found.Add(file)
    return found


FILES = FileDescriptorSet.FromString(gzip.decompress((DATA / "descriptors.binpb.gz").read_bytes()))
POOL = _pool()
# All methods of then, as `SpanService/GetSpan`.
METHODS = {
    f"{service.name}/{method.name}"
    for file in FILES.file
    if file.package == PACKAGE
    for service in file.service
    for method in service.method
}


def method_of(name: str) -> MethodDescriptor:
    service, _, method = full_name(name).partition("/")
    return POOL.FindServiceByName(service).methods_by_name[method]


def has_field(name: str) -> bool:
    """Whether the first contract has a field, by its full name."""
    try:
        POOL.FindFieldByName(name)
    except KeyError:
        return False
    return True


def read(name: str, data: bytes) -> Message:
    """An answer as the client of then reads it."""
    return GetMessageClass(method_of(name).output_type).FromString(data)


def answers(server: LiveServer) -> Iterator[tuple[str, list[bytes]]]:
    """Calls every method of then: first what writes, then what reads, then what deletes."""
    client = FirstClient(server.running.grpc_address, server.key(PROJECT))
    created = client.call(CREATE_EXPERIMENT, requests(PROJECT, text="text")[CREATE_EXPERIMENT])
    yield CREATE_EXPERIMENT, created
    experiment: Any = read(CREATE_EXPERIMENT, created[0])
    asked = requests(PROJECT, experiment.id, "text")
    for name in (*WRITES, *READS, *DELETES):
        if name in METHODS and name != CREATE_EXPERIMENT and name in asked:
            if name == "SpanService/DeleteTraceSpans":  # DeleteTrace has deleted it
                client.call("TraceService/CreateTrace", asked["TraceService/CreateTrace"])
            yield name, client.call(name, asked[name])
    client.close()


def main() -> None:
    with (
        TemporaryDirectory() as home,
        LiveServer(database=f"sqlite:///{home}/spanloom.db", log_level="error") as server,
    ):
        found = {
            name: [base64.b64encode(each).decode() for each in data]
            for name, data in answers(server)
        }
    ANSWERS.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
