"""Calls of Spanloom by REST and gRPC, and what came of each: answered, refused, or nobody knows."""

from __future__ import annotations

import enum
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import grpc
import httpx
from google.protobuf import json_format
from google.protobuf.message import Message
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp

from spanloom.v1 import event_service_pb2 as events
from spanloom.v1 import span_service_pb2 as spans
from spanloom.v1 import trace_service_pb2 as traces
from tests.history.servers import Server

# Far more than any call needs: a call that takes longer is one whose outcome nobody knows.
TIMEOUT = 30.0
_NEW_CONNECTION_SHARE = 0.02

# (request, response) of the methods that are called by gRPC, too.
_METHODS: dict[str, tuple[type[Message], type[Message]]] = {
    "spanloom.v1.EventService/CreateEvent": (events.CreateEventRequest, events.CreateEventResponse),
    "spanloom.v1.EventService/CreateEventBatch": (
        events.CreateEventBatchRequest,
        events.CreateEventBatchResponse,
    ),
    "spanloom.v1.EventService/UpdateEvent": (events.UpdateEventRequest, events.UpdateEventResponse),
    "spanloom.v1.EventService/DeleteEvent": (events.DeleteEventRequest, events.DeleteEventResponse),
    "spanloom.v1.EventService/GetEvent": (events.GetEventRequest, events.GetEventResponse),
    "spanloom.v1.EventService/ExportEvents": (
        events.ExportEventsRequest,
        events.ExportEventsResponse,
    ),
    "spanloom.v1.SpanService/WriteSpans": (spans.WriteSpansRequest, spans.WriteSpansResponse),
    "spanloom.v1.TraceService/CreateTrace": (traces.CreateTraceRequest, traces.CreateTraceResponse),
    "spanloom.v1.TraceService/GetTrace": (traces.GetTraceRequest, traces.GetTraceResponse),
    "spanloom.v1.TraceService/DeleteTrace": (traces.DeleteTraceRequest, traces.DeleteTraceResponse),
    "opentelemetry.proto.collector.trace.v1.TraceService/Export": (
        otlp.ExportTraceServiceRequest,
        otlp.ExportTraceServiceResponse,
    ),
}


class Outcome(enum.Enum):
    """What the caller knows of a call afterwards."""

    OK = "ok"
    NOT_FOUND = "not found"
    OVERLOADED = "refused for overload, nothing was stored"
    FAULT = "refused, which a valid call never is"
    FAILED = "an internal error, which leaves it open"
    UNKNOWN = "no answer, or one that leaves it open"
    NOT_SENT = "no connection, so nothing was sent"


_BY_HTTP = {
    200: Outcome.OK,
    404: Outcome.NOT_FOUND,
    429: Outcome.OVERLOADED,
    500: Outcome.FAILED,
    **dict.fromkeys((408, 499, 503, 504), Outcome.UNKNOWN),
}
_BY_GRPC = {
    grpc.StatusCode.NOT_FOUND: Outcome.NOT_FOUND,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Outcome.OVERLOADED,
    # INTERNAL, too, is what gRPC itself makes of some connections that break.
    **dict.fromkeys(
        (
            grpc.StatusCode.UNAVAILABLE,
            grpc.StatusCode.DEADLINE_EXCEEDED,
            grpc.StatusCode.CANCELLED,
            grpc.StatusCode.UNKNOWN,
            grpc.StatusCode.INTERNAL,
        ),
        Outcome.UNKNOWN,
    ),
}


@dataclass(frozen=True, slots=True)
class Call:
    """One call: by REST as `verb` and `path` with a JSON body, by gRPC, where it has a method, with
    `message` as its JSON.

    A Message as the body is an OTLP request, sent as it is.
    """

    verb: str
    path: str
    body: Mapping[str, Any] | Message | None = None
    method: str = ""
    message: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a call, and between which times (nanoseconds, monotonic) it was under way."""

    outcome: Outcome
    body: Any
    began: int
    ended: int
    text: str = ""


@dataclass
class Client:
    """One caller, with connections of its own; a thread's."""

    key: str
    rng: random.Random
    _http: dict[str, httpx.Client] = field(default_factory=dict)
    _channels: dict[str, grpc.Channel] = field(default_factory=dict)

    def call(self, server: Server, call: Call, *, timeout: float = TIMEOUT) -> Answer:
        """Call it by one of the transports that it has."""
        http, address = server.http, server.grpc
        if not http or not address:
            return Answer(Outcome.NOT_SENT, None, 0, 0)
        if self.rng.random() < _NEW_CONNECTION_SHARE:
            self.close()  # the next connection may be another worker's
        if call.method and self.rng.random() < 0.5:
            return self._by_grpc(address, call, timeout)
        return self._by_rest(http, call, timeout)

    def close(self) -> None:
        """Close all connections."""
        for http in self._http.values():
            http.close()
        for channel in self._channels.values():
            channel.close()
        self._http.clear()
        self._channels.clear()

    def _by_rest(self, address: str, call: Call, timeout: float) -> Answer:
        if address not in self._http:
            headers = {"authorization": f"Bearer {self.key}"}
            self._http[address] = httpx.Client(
                base_url=f"http://{address}", headers=headers, trust_env=False
            )
        sent: dict[str, Any] = {"json": call.body} if call.body is not None else {}
        if isinstance(call.body, Message):
            content_type = {"content-type": "application/x-protobuf"}
            sent = {"content": call.body.SerializeToString(), "headers": content_type}
        began = time.monotonic_ns()
        try:
            response = self._http[address].request(call.verb, call.path, timeout=timeout, **sent)
        except (httpx.ConnectError, httpx.ConnectTimeout):
            return Answer(Outcome.NOT_SENT, None, began, time.monotonic_ns())
        except httpx.HTTPError as error:
            return Answer(Outcome.UNKNOWN, None, began, time.monotonic_ns(), repr(error))
        ended = time.monotonic_ns()
        outcome = _BY_HTTP.get(response.status_code, Outcome.FAULT)
        body: Any = None
        if outcome is Outcome.OK and isinstance(call.body, Message):
            message = otlp.ExportTraceServiceResponse.FromString(response.content)
            body = json_format.MessageToDict(message)
        elif outcome is Outcome.OK:
            body = response.json()
        text = "" if outcome is Outcome.OK else f"{response.status_code} {response.text}"
        return Answer(outcome, body, began, ended, text)

    def _by_grpc(self, address: str, call: Call, timeout: float) -> Answer:
        if address not in self._channels:
            options = [("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]
            self._channels[address] = grpc.insecure_channel(address, options=options)
        request_class, response_class = _METHODS[call.method]
        request: Message = (
            call.body
            if isinstance(call.body, Message)
            else json_format.ParseDict(dict(call.message or {}), request_class())
        )
        method = self._channels[address].unary_unary(
            f"/{call.method}",
            request_serializer=request_class.SerializeToString,
            response_deserializer=response_class.FromString,
        )
        metadata = (("authorization", f"Bearer {self.key}"),)
        began = time.monotonic_ns()
        try:
            response = method(request, timeout=timeout, metadata=metadata)
        except grpc.RpcError as error:
            ended = time.monotonic_ns()
            code = error.code()
            outcome = _BY_GRPC.get(code, Outcome.FAULT)
            return Answer(outcome, None, began, ended, f"{code.name} {error.details()}")
        return Answer(Outcome.OK, json_format.MessageToDict(response), began, time.monotonic_ns())
