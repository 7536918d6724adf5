"""One client a transport, all with the same `call`: request message in, response message (of a
stream: all) out, or `CallError`.

The contract suite is written against `Client` alone. The HTTP client reads the proto annotations by
itself, with google.protobuf.json_format, so that it is no mirror of the server's transcoder.
"""

from __future__ import annotations

import asyncio
import base64
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol
from urllib.parse import quote, urlencode

import grpc
import httpx
from google.api import annotations_pb2
from google.api.httpbody_pb2 import HttpBody
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from spanloom.errors import SpanloomError
from spanloom.server import status as wire_status
from spanloom.server.methods import Method
from spanloom.server.middleware import Middleware

PACKAGE = "spanloom.v1"
REQUEST_ID = "direct"


@dataclass
class CallError(Exception):
    """A refused call, as any transport tells it."""

    code: str
    reason: str
    message: str
    violations: dict[str, str] = field(default_factory=dict)
    retry_seconds: float | None = None

    def __str__(self) -> str:
        return f"{self.code} {self.reason}: {self.message} {self.violations}"


class Client(Protocol):
    def call(
        self, method: str, request: Message, *, key: str | None = None, project: str | None = None
    ) -> Any: ...

    def close(self) -> None: ...


def full_name(method: str) -> str:
    """`TraceService/CreateTrace` as gRPC names it; a service of another package is given in
    full."""
    return method if "." in method else f"{PACKAGE}.{method}"


def method_descriptor(method: str) -> MethodDescriptor:
    service, _, name = full_name(method).partition("/")
    return descriptor_pool.Default().FindServiceByName(service).methods_by_name[name]


def request_class(method: MethodDescriptor) -> type[Message]:
    return message_factory.GetMessageClass(method.input_type)


def _fits(rule: Any, request: Message) -> bool:
    """Whether the request has all variables of a path."""
    path = getattr(rule, rule.WhichOneof("pattern"))
    names = re.findall(r"\{(\w+)\}", path)
    return bool(names) and all(getattr(request, name) for name in names)


def lower_camel_case(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(map(str.capitalize, rest))


def _parameters(fields: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """The query parameters of fields; one in a message has a dotted name."""
    for name, value in fields.items():
        if isinstance(value, dict):
            yield from _parameters(value, f"{above}{name}.")
        else:
            yield above + name, str(value).lower() if isinstance(value, bool) else value


def has_http_rule(method: MethodDescriptor) -> bool:
    """Whether the method's proto file says its path. That of OTLP does not: its specification
    does."""
    return method.GetOptions().HasExtension(annotations_pb2.http)


def response_class(method: MethodDescriptor) -> type[Message]:
    return message_factory.GetMessageClass(method.output_type)


def headers(key: str | None, project: str | None) -> dict[str, str]:
    sent = {}
    if key is not None:
        sent["authorization"] = f"Bearer {key}"
    if project is not None:
        sent["x-spanloom-project"] = project
    return sent


def error_from_status(status: status_pb2.Status) -> CallError:
    error = CallError(code_pb2.Code.Name(status.code), "", status.message)
    info, bad, retry = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.BadRequest(),
        error_details_pb2.RetryInfo(),
    )
    for detail in status.details:
        if detail.Unpack(info):
            error.reason = info.reason.removeprefix(wire_status.REASON_PREFIX)
        elif detail.Unpack(bad):
            error.violations = {v.field: v.description for v in bad.field_violations}
        elif detail.Unpack(retry):
            error.retry_seconds = retry.retry_delay.ToTimedelta().total_seconds()
    return error


class DirectClient:
    """Straight into the middleware, on the server's event loop."""

    def __init__(
        self, methods: list[Method], middleware: Middleware, loop: asyncio.AbstractEventLoop
    ) -> None:
        self._methods = {m.full_name: m for m in methods}
        self._middleware = middleware
        self._loop = loop

    def call(
        self, method: str, request: Message, *, key: str | None = None, project: str | None = None
    ) -> Any:
        if method_descriptor(method).server_streaming:
            return self._stream(method, request, headers(key, project))

        async def read() -> Message:
            return request

        result = asyncio.run_coroutine_threadsafe(
            self._middleware.unary(
                self._methods[full_name(method)],
                headers(key, project),
                read,
                request_id=REQUEST_ID,
                transport="direct",
            ),
            self._loop,
        ).result(60)
        return message_of(result)

    def _stream(self, method: str, request: Message, sent: dict[str, str]) -> list[Any]:
        async def read() -> Message:
            return request

        async def gather() -> list[Message | SpanloomError]:
            results = self._middleware.stream(
                self._methods[full_name(method)],
                sent,
                read,
                request_id=REQUEST_ID,
                transport="direct",
            )
            return [result async for result in results]

        results = asyncio.run_coroutine_threadsafe(gather(), self._loop).result(60)
        return [message_of(result) for result in results]

    def close(self) -> None:
        pass


def message_of(result: Message | SpanloomError) -> Message:
    """A result of the middleware; CallError if it is an error."""
    if isinstance(result, SpanloomError):
        raise error_from_status(wire_status.rpc_status(result, REQUEST_ID))
    return result


class GrpcClient:
    def __init__(self, address: str) -> None:
        self._channel = grpc.insecure_channel(
            address, options=[("grpc.max_receive_message_length", -1)]
        )

    def call(
        self, method: str, request: Message, *, key: str | None = None, project: str | None = None
    ) -> Any:
        descriptor = method_descriptor(method)
        streams = descriptor.server_streaming
        send: Any = (self._channel.unary_stream if streams else self._channel.unary_unary)(
            f"/{full_name(method)}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=response_class(descriptor).FromString,
        )
        try:
            answer = send(request, metadata=list(headers(key, project).items()), timeout=60)
            return list(answer) if streams else answer
        except grpc.RpcError as error:
            call: Any = error
            details = dict(call.trailing_metadata() or ()).get("grpc-status-details-bin")
            if details is None:
                raise CallError(call.code().name, "", call.details() or "") from error
            raise error_from_status(status_pb2.Status.FromString(details)) from error

    def close(self) -> None:
        self._channel.close()


class HttpClient:
    """REST, ours or Envoy's. `binding` 0 is the rule itself, n the n-th of its additional bindings.

    A method without a rule is OTLP's, which is sent as protobuf to the path of its specification.
    """

    def __init__(self, address: str) -> None:
        self.http = httpx.Client(base_url=f"http://{address}", timeout=60, trust_env=False)

    def call(
        self,
        method: str,
        request: Message,
        *,
        key: str | None = None,
        project: str | None = None,
        binding: int = 0,
    ) -> Any:
        descriptor = method_descriptor(method)
        if not has_http_rule(descriptor):
            return self._export(descriptor, request, headers(key, project))
        rule = descriptor.GetOptions().Extensions[annotations_pb2.http]
        rules = [rule, *rule.additional_bindings]
        rule = rules[binding] if binding else next((r for r in rules if _fits(r, request)), rule)
        verb = rule.WhichOneof("pattern")
        fields = json_format.MessageToDict(request)
        names = {f.name: f.json_name for f in descriptor.input_type.fields}

        def fill(match: re.Match[str]) -> str:
            *parents, leaf = match[1].split(".")
            scope: Any = fields
            kind: Any = descriptor.input_type
            for parent in parents:
                scope = scope.get(kind.fields_by_name[parent].json_name, {})
                kind = kind.fields_by_name[parent].message_type
            return quote(str(scope.pop(kind.fields_by_name[leaf].json_name, "")), safe="")

        path = re.sub(r"\{([\w.]+)\}", fill, getattr(rule, verb))
        body: Any = None
        if rule.body == "*":
            body, fields = fields, {}
        elif rule.body:
            body = fields.pop(names[rule.body], {})
        query = urlencode(_flat(fields), True)
        answer = self.http.request(
            verb.upper(),
            path + (f"?{query}" if query else ""),
            json=body,
            headers=headers(key, project),
        )
        if answer.status_code != 200:
            raise error_from_body(answer)
        response = response_class(descriptor)()
        if descriptor.server_streaming:
            return [
                json_format.ParseDict(data, response_class(descriptor)())
                for data in _streamed(answer)
            ]
        if rule.response_body and isinstance(getattr(response, rule.response_body), HttpBody):
            body = getattr(response, rule.response_body)
            body.content_type, body.data = answer.headers["content-type"], answer.content
            return response
        data = answer.json()
        if rule.response_body:
            data = {rule.response_body: data}
        return json_format.ParseDict(data, response)

    def _export(self, method: MethodDescriptor, request: Message, sent: dict[str, str]) -> Any:
        paths = {"TraceService": "traces", "LogsService": "logs", "MetricsService": "metrics"}
        answer = self.http.post(
            f"/v1/{paths[method.containing_service.name]}",
            content=request.SerializeToString(),
            headers={"content-type": "application/x-protobuf", **sent},
        )
        if answer.status_code != 200:
            raise error_from_status(status_pb2.Status.FromString(answer.content))
        return response_class(method).FromString(answer.content)

    def close(self) -> None:
        self.http.close()


class TranscoderClient(HttpClient):
    """REST through a transcoder; what it has no rule for goes to `grpc_address`."""

    def __init__(self, address: str, grpc_address: str) -> None:
        super().__init__(address)
        self._grpc = GrpcClient(grpc_address)

    def call(self, method: str, request: Message, **options: Any) -> Any:
        if has_http_rule(method_descriptor(method)):
            return super().call(method, request, **options)
        return self._grpc.call(method, request, **options)

    def close(self) -> None:
        self._grpc.close()
        super().close()


def _flat(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields as query parameters: a message's by their paths."""
    found: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, dict):
            found |= {f"{name}.{inner}": item for inner, item in _flat(value).items()}
        else:
            found[name] = str(value).lower() if isinstance(value, bool) else value
    return found


def _streamed(answer: httpx.Response) -> list[Any]:
    """One JSON object a line, (Envoy) a list of them, or (grpc-gateway) each as a `result`."""
    if answer.text.startswith("["):
        return list(answer.json())
    lines = [json.loads(line) for line in answer.text.splitlines()]
    return [line["result"] if line.keys() == {"result"} else line for line in lines]


def error_from_body(answer: httpx.Response) -> CallError:
    data = answer.json()
    if "code" not in data:  # a stream of grpc-gateway
        data = data["error"]
    status = status_pb2.Status(code=data["code"], message=data["message"])
    for detail in data.get("details", []):
        json_format.ParseDict(detail, status.details.add())
    return error_from_status(status)


def basic(key: str) -> str:
    return "Basic " + base64.b64encode(f"api:{key}".encode()).decode()


def until(condition: Any, seconds: float = 10.0) -> None:
    """Wait for something that happens soon; fail when it does not."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} seconds")
        time.sleep(0.02)
