"""OpenTelemetry's spans by every form in which they are sent, and streams of native ones."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanloom.v1 import span_pb2
from spanloom.v1 import span_service_pb2 as pb
from spanloom.v1.span_service_pb2_grpc import SpanServiceStub
from tests.databases import new_url
from tests.servers import LiveServer

EXPORT = "opentelemetry.proto.collector.trace.v1.TraceService/Export"
SECRET = "zqgeheim42"
PROTOBUF = "application/x-protobuf"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    url = new_url("sqlite", tmp_path_factory.mktemp("redaction"))
    with LiveServer(database=url, log_level="error") as live:
        yield live


def message(span_id: int) -> bytes:
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(name="call")
    span.trace_id, span.span_id = b"t" * 16, span_id.to_bytes(8, "big")
    span.attributes.add(key="api_key").value.string_value = SECRET
    text = json.dumps({"password": SECRET, "max_tokens": 5})
    span.attributes.add(key="gen_ai.tool.call.arguments").value.string_value = text
    return request.SerializeToString()


DOCUMENT = json.dumps(
    {
        "resourceSpans": [
            {
                "scopeSpans": [
                    {
                        "spans": [
                            {
                                "traceId": "74" * 16,
                                "spanId": "0" * 15 + "9",
                                "name": "call",
                                "attributes": [
                                    {"key": "api_key", "value": {"stringValue": SECRET}},
                                    {
                                        "key": "gen_ai.tool.call.arguments",
                                        "value": {
                                            "stringValue": f'{{"password": "{SECRET}",'
                                            ' "max_tokens": 5}'
                                        },
                                    },
                                ],
                            }
                        ]
                    }
                ]
            }
        ]
    }
)


def test_every_form(server: LiveServer) -> None:
    key = server.key("p")
    headers = {"authorization": f"Bearer {key}"}
    base = f"http://{server.running.http_address}"
    escaped = DOCUMENT.replace("api_key", "\\u0061pi_key").replace("09", "10")
    with httpx.Client(base_url=base, headers=headers, trust_env=False) as client:
        for path, content_type, encoding, body in (
            ("/v1/traces", PROTOBUF, "", message(1)),
            ("/v1/traces", PROTOBUF, "gzip", gzip.compress(message(2))),
            ("/v1/traces", "application/json", "", DOCUMENT.encode()),
            ("/v1/traces", "application/json", "", escaped.encode()),
            (f"/{EXPORT}", "application/proto", "", message(3)),
        ):
            given = {"content-type": content_type}
            if encoding:
                given["content-encoding"] = encoding
            answer = client.post(path, content=body, headers=given)
            assert answer.status_code == 200, answer.text
    metadata = (("authorization", f"Bearer {key}"),)
    with grpc.insecure_channel(server.running.grpc_address) as channel:
        export: Any = channel.unary_unary(f"/{EXPORT}")
        export(message(4), metadata=metadata)
        export(message(5), metadata=metadata, compression=grpc.Compression.Gzip)
        spans = SpanServiceStub(channel)
        text = f'{{"secret": "{SECRET}"'
        value = span_pb2.AttributeValue(string_value=SECRET)
        native = [
            span_pb2.Span(trace_id="n", span_id=str(n), attributes={"api_key": value}, name=text)
            for n in range(4)
        ]
        imported = spans.ImportSpans(
            (pb.ImportSpansRequest(span=span) for span in native[:2]), metadata=metadata
        )
        assert imported.stored_count == 2
        recorded = list(
            spans.RecordSpans(
                (
                    pb.RecordSpansRequest(sequence=n + 1, spans=[span])
                    for n, span in enumerate(native[2:])
                ),
                metadata=metadata,
            )
        )
        assert recorded[-1].stored_count == 2
        listed = spans.ListSpans(pb.ListSpansRequest(), metadata=metadata).spans
        assert len(listed) == 11
        for span in listed:
            assert span.attributes["api_key"].string_value == "[REDACTED]"
            if span.trace_id != "n":
                text = span.attributes["gen_ai.tool.call.arguments"].string_value
                assert json.loads(text) == {"password": "[REDACTED]", "max_tokens": 5}
    files = Path(server.database.removeprefix("sqlite:///"))
    for file in files.parent.glob(f"{files.name}*"):
        assert SECRET.encode() not in file.read_bytes()
