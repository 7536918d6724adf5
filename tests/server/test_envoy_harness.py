"""The Envoy harness serves a gRPC server over REST, as google.api.http says."""

from __future__ import annotations

import sysconfig
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import google.api.annotations_pb2
import google.protobuf.struct_pb2  # noqa: F401  (both are what shop.proto imports)
import grpc
import grpc_tools
import httpx
import pytest
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import Default
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status
from grpc_tools import protoc

from tests.envoy import Envoy, descriptor_set

SERVICE = "envoyharness.Shop"
PROTO = """
syntax = "proto3";
package envoyharness;
import "google/api/annotations.proto";
import "google/protobuf/struct.proto";

message Item {
  string name = 1;
  int32 count = 2;
  int64 total = 3;
  double price = 4;
  optional string note = 5;
  google.protobuf.Value extra = 6;
  repeated Item parts = 7;
  string snake_name = 8 [json_name = "snake_name"];
}
message Order {
  string shop = 1;
  Item item = 2;
}
service Shop {
  rpc Echo(Item) returns (Item) {
    option (google.api.http) = {
      post: "/items"
      body: "*"
      additional_bindings: {get: "/items/{name}"}
      additional_bindings: {get: "/all/{name=**}"}
    };
  }
  rpc Place(Order) returns (Order) {
    option (google.api.http) = {post: "/shops/{shop}/orders" body: "item"};
  }
  rpc Refuse(Item) returns (Item) {
    option (google.api.http) = {post: "/refuse" body: "*"};
  }
  rpc Count(Item) returns (stream Item) {
    option (google.api.http) = {post: "/count" body: "*"};
  }
}
"""


def compiled(directory: Path) -> FileDescriptor:
    """Compiles PROTO; its imports have to be in the default pool."""
    (directory / "shop.proto").write_text(PROTO)
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    paths = [f"-I{path}" for path in (directory, sysconfig.get_path("purelib"), well_known)]
    out = directory / "shop.binpb"
    assert protoc.main(["protoc", *paths, f"-o{out}", "shop.proto"]) == 0
    (file,) = FileDescriptorSet.FromString(out.read_bytes()).file
    return Default().AddSerializedFile(file.SerializeToString())


def refuse(request: Message, context: grpc.ServicerContext) -> Message:
    status = Status(code=grpc.StatusCode.NOT_FOUND.value[0], message="no such item")
    status.details.add().Pack(ErrorInfo(reason="ITEM_ABSENT", domain="shop"))
    context.abort_with_status(rpc_status.to_status(status))
    raise AssertionError


def echo(request: Message, context: grpc.ServicerContext) -> Message:
    sent = dict(context.invocation_metadata())
    context.send_initial_metadata((("x-got", str(sent.get("authorization"))),))
    return request


def count(request: Any, context: grpc.ServicerContext) -> Iterator[Message]:
    for number in range(request.count):
        yield type(request)(count=number)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    file = compiled(tmp_path_factory.mktemp("shop"))
    service = Default().FindServiceByName(SERVICE)

    def handler(name: str, behavior: Any) -> grpc.RpcMethodHandler:
        method = service.methods_by_name[name]
        make = (
            grpc.unary_stream_rpc_method_handler
            if method.server_streaming
            else grpc.unary_unary_rpc_method_handler
        )
        return make(
            behavior,
            request_deserializer=GetMessageClass(method.input_type).FromString,
            response_serializer=lambda message: message.SerializeToString(),
        )

    behaviors = {"Echo": echo, "Place": echo, "Refuse": refuse, "Count": count}
    handlers = {name: handler(name, behavior) for name, behavior in behaviors.items()}
    server = grpc.server(ThreadPoolExecutor(2), options=[("grpc.max_receive_message_length", -1)])
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, handlers)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with (
        Envoy(descriptor_set(file), [SERVICE], f"127.0.0.1:{port}") as envoy,
        httpx.Client(base_url=f"http://{envoy.address}", timeout=60) as http,
    ):
        yield http
    server.stop(None).wait()


def test_fields_without_presence_are_always_printed(client: httpx.Client) -> None:
    assert client.post("/items", json={}).json() == {
        "name": "",
        "count": 0,
        "total": "0",
        "price": 0,
        "parts": [],
        "snake_name": "",
    }


def test_unknown_fields_and_nulls_in_a_body_are_accepted(client: httpx.Client) -> None:
    body = {"name": None, "note": None, "extra": None, "odd": {"a": [1]}, "parts": [{"odd": 1}]}
    answer = client.post("/items", json=body).json()
    assert answer["parts"][0]["name"] == ""
    assert answer["extra"] is None
    assert "note" not in answer


def test_an_absent_body_is_an_empty_message(client: httpx.Client) -> None:
    assert client.post("/items").json()["name"] == ""
    assert client.post("/shops/a/orders").json()["item"]["name"] == ""


def test_a_body_field_is_the_whole_body(client: httpx.Client) -> None:
    answer = client.post("/shops/north%2F1/orders", json={"name": "tea"}).json()
    assert (answer["shop"], answer["item"]["name"]) == ("north/1", "tea")


def test_path_and_query_set_fields(client: httpx.Client) -> None:
    answer = client.get("/items/a%2Fb", params={"count": 3, "note": "x y+z", "odd": 1}).json()
    assert (answer["name"], answer["count"], answer["note"]) == ("a/b", 3, "x y+z")
    assert client.get("/all/a/b%2Fc").json()["name"] == "a/b%2Fc"


def test_headers_go_both_ways(client: httpx.Client) -> None:
    answer = client.post("/items", json={}, headers={"authorization": "Bearer key"})
    assert answer.headers["x-got"] == "Bearer key"


def test_an_error_is_a_status_with_its_details(client: httpx.Client) -> None:
    answer = client.post("/refuse", json={})
    assert answer.status_code == 404
    assert answer.json() == {
        "code": 5,
        "message": "no such item",
        "details": [
            {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "ITEM_ABSENT",
                "domain": "shop",
                "metadata": {},
            }
        ],
    }


def test_a_path_without_a_method_is_not_found(client: httpx.Client) -> None:
    assert client.get("/nowhere").status_code == 404


def test_a_stream_is_lines(client: httpx.Client) -> None:
    lines = client.post("/count", json={"count": 3}).text.splitlines()
    assert len(lines) == 3
    assert '"count":2' in lines[2]


def test_a_big_body_passes(client: httpx.Client) -> None:
    name = "x" * 8_000_000
    assert client.post("/items", json={"name": name}).json()["name"] == name


def test_what_envoy_cannot_serve_fails_with_its_log() -> None:
    with (
        pytest.raises(RuntimeError, match=r"Could not find 'nowhere.Shop'"),
        Envoy(descriptor_set(), ["nowhere.Shop"], "127.0.0.1:1"),
    ):
        pass
