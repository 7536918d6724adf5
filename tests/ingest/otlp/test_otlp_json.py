"""OTLP/JSON: read as leniently as senders need, written as the specification says."""

from __future__ import annotations

import base64
import codecs
import json
from typing import Any

import orjson
import pytest
from google.protobuf import json_format
from hypothesis import given, settings
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from spanloom.adapters.otlp.read import spans_from
from spanloom.codec import otlp_json
from spanloom.errors import SpanloomError
from tests.ingest.otlp import requests as r

IDS = ("traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id")


def with_ids(node: Any, convert: Any) -> Any:
    """A document with each id converted."""
    if isinstance(node, list):
        return [with_ids(item, convert) for item in node]
    if not isinstance(node, dict):
        return node
    return {
        key: convert(value) if key in IDS and isinstance(value, str) else with_ids(value, convert)
        for key, value in node.items()
    }


def to_hex(text: str) -> str:
    return base64.b64decode(text).hex()


def without_numbers_names(node: Any) -> Any:
    """Doubles as protobuf's JSON prints them differ in nothing but 1.0 and 1."""
    return json.loads(json.dumps(node), parse_int=float)


@given(r.requests)
@settings(max_examples=35)
def test_json_is_protobufs_own_but_for_hex_ids_and_integer_enums(
    request: ExportTraceServiceRequest,
) -> None:
    written = otlp_json.to_json(request)
    theirs = json_format.MessageToDict(request, use_integers_for_enums=True)
    assert without_numbers_names(orjson.loads(written)) == without_numbers_names(
        with_ids(theirs, to_hex)
    )
    assert otlp_json.parse(written) == request
    snake = with_ids(json_format.MessageToDict(request, preserving_proto_field_name=True), to_hex)
    assert otlp_json.parse(json.dumps(snake).encode()) == request


def body(**span: Any) -> dict[str, Any]:
    return {"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]}


def document(**span: Any) -> bytes:
    return orjson.dumps(body(**span))


def parsed(**span: Any) -> Any:
    return otlp_json.parse(document(**span)).resource_spans[0].scope_spans[0].spans[0]


def test_forms_that_senders_use() -> None:
    span = parsed(
        traceId="5B8EFFF798038103D269B633813FC60C",
        spanId="7uGbfsPBsXQ=",  # base64, as plain protobuf JSON has it
        startTimeUnixNano=1544712660000000000,
        endTimeUnixNano="1544712661000000000",
        kind="SPAN_KIND_SERVER",
        status={"code": "2", "message": None},
        flags=256.0,
        droppedAttributesCount="3",
        parentSpanId=None,
        events=None,
        unknown={"a": [1]},
        attributes=[
            {"key": "i", "value": {"intValue": "9223372036854775807"}},
            {"key": "d", "value": {"double_value": "NaN"}},
            {"key": "b", "value": {"bytesValue": "_-8"}},
            {"key": "n", "value": None},
            {"key": "e", "value": {}},
            {
                "key": "a",
                "value": {"arrayValue": {"values": [{"boolValue": True}, {"stringValue": ""}]}},
            },
            {
                "key": "k",
                "value": {"kvlistValue": {"values": [{"key": "x", "value": {"intValue": 1}}]}},
            },
        ],
    )
    assert span.trace_id.hex() == "5b8efff798038103d269b633813fc60c"
    assert span.span_id.hex() == "eee19b7ec3c1b174"
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (
        1544712660000000000,
        1544712661000000000,
    )
    assert (span.kind, span.status.code, span.flags, span.dropped_attributes_count) == (
        2,
        2,
        256,
        3,
    )
    values = {pair.key: pair.value for pair in span.attributes}
    assert values["i"].int_value == 2**63 - 1
    assert values["d"].double_value != values["d"].double_value
    assert values["b"].bytes_value == b"\xff\xef"
    assert values["a"].array_value.values[0].bool_value is True
    assert values["a"].array_value.values[1].WhichOneof("value") == "string_value"
    assert values["k"].kvlist_value.values[0].value.int_value == 1
    assert [pair.HasField("value") for pair in span.attributes if pair.key in "ne"] == [False, True]


@pytest.mark.parametrize(
    ("sent", "field", "why"),
    [
        (b"{", "", "not JSON"),
        (b"\xff", "", "not JSON"),
        (b"[]", "", "must be an object"),
        (b'{"resourceSpans": {}}', "resourceSpans", "must be an array"),
    ],
)
def test_errors_around_spans_name_the_path(sent: bytes, field: str, why: str) -> None:
    with pytest.raises(SpanloomError) as caught:
        otlp_json.parse(sent)
    assert caught.value.code == "INVALID_ARGUMENT"
    [violation] = caught.value.violations
    assert violation.field == field
    assert why in violation.description


def any_value(value: Any) -> dict[str, Any]:
    return {"attributes": [{"key": "k", "value": value}]}


def nested_value(levels: int) -> Any:
    value: Any = {"stringValue": "x"}
    for _ in range(levels):
        value = {"arrayValue": {"values": [value]}}
    return value


@pytest.mark.parametrize(
    ("span", "field", "why"),
    [
        ({"traceId": "xyz"}, "traceId", "must be an id in hex"),
        ({"spanId": 5}, "spanId", "must be an id in hex"),
        ({"name": 5}, "name", "must be a string"),
        ({"startTimeUnixNano": -1}, "startTimeUnixNano", "must be from 0 to"),
        ({"startTimeUnixNano": "soon"}, "startTimeUnixNano", "must be an integer"),
        ({"flags": 0.5}, "flags", "must be an integer"),
        ({"attributes": [{}, 1]}, "attributes[1]", "must be an object"),
        ({"attributes": [{"key": 1}]}, "attributes[0].key", "must be a string"),
        (
            any_value({"arrayValue": {"values": [{"boolValue": 1}]}}),
            "attributes[0].value.arrayValue.values[0].boolValue",
            "must be true or false",
        ),
        (any_value({"bytesValue": "$"}), "attributes[0].value.bytesValue", "must be base64"),
        (any_value(nested_value(200)), "attributes[0].value", "is nested too deeply"),
    ],
)
def test_a_span_that_cannot_be_read_is_refused_alone(
    span: dict[str, Any], field: str, why: str
) -> None:
    good = {"traceId": "0a" * 16, "spanId": "0b" * 8, "name": "good"}
    sent = body(**{**good, **span})
    sent["resourceSpans"][0]["scopeSpans"][0]["spans"].append(good)
    received = spans_from(otlp_json.parse(json.dumps(sent).encode()), received_ns=1)
    assert [found.name for found in received.spans] == ["good"]
    [(where, reason)] = received.rejected
    assert where == "resource_spans[0].scope_spans[0].spans[0]"
    assert reason.startswith(field)
    assert why in reason


def test_values_that_senders_get_wrong_are_mended() -> None:
    wrong = {
        "name": "cut \ud83d",
        "kind": "SERVER",
        "status": {"code": "ERROR"},
        "endTimeUnixNano": "",
        "droppedAttributesCount": -1,
        "droppedEventsCount": 2**40,
        "attributes": [
            {"key": "text", "value": {"stringValue": "\ude00 x \ud83d\ude00"}},
            {"key": "large", "value": {"intValue": 2**63}},
            {"key": "larger", "value": {"intValue": str(-(2**70))}},
            {"key": "null", "value": {"arrayValue": {"values": [{"intValue": "1"}, None]}}},
        ],
    }
    sent = codecs.BOM_UTF8 + json.dumps(body(**wrong)).encode()
    span = otlp_json.parse(sent).resource_spans[0].scope_spans[0].spans[0]
    assert (span.name, span.kind, span.status.code) == ("cut \ufffd", 2, 2)
    assert (span.end_time_unix_nano, span.dropped_attributes_count) == (0, 0)
    assert span.dropped_events_count == 2**32 - 1
    values = {pair.key: pair.value for pair in span.attributes}
    assert values["text"].string_value == "\ufffd x \U0001f600"
    assert values["large"].string_value == str(2**63)
    assert values["larger"].string_value == str(-(2**70))
    first, second = values["null"].array_value.values
    assert (first.int_value, second.WhichOneof("value")) == (1, None)
    assert parsed(kind="NO_SUCH_KIND").kind == 0


def test_the_answer_is_written_too() -> None:
    answer = trace_service_pb2.ExportTraceServiceResponse()
    assert otlp_json.to_json(answer) == b"{}"
    answer.partial_success.rejected_spans = 1
    answer.partial_success.error_message = "why"
    assert orjson.loads(otlp_json.to_json(answer)) == {
        "partialSuccess": {"rejectedSpans": "1", "errorMessage": "why"}
    }


def test_log_records_are_read_and_metrics_are_counted() -> None:
    """The ids are in hex, as the JSON of OTLP has them."""
    good = {
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "spanId": "00f067aa0ba902b7",
        "timeUnixNano": "5",
        "severityNumber": "SEVERITY_NUMBER_INFO",
        "eventName": "gen_ai.choice",
        "body": {"stringValue": "said"},
        "attributes": [{"key": "a", "value": {"intValue": 1}}],
    }
    bad = {**good, "spanId": "not hex"}
    logs = {"resourceLogs": [{"scopeLogs": [{"logRecords": [bad, good]}]}]}
    [group] = otlp_json.parse_logs(json.dumps(logs).encode()).resource_logs
    empty, record = group.scope_logs[0].log_records
    assert empty == type(empty)()
    assert record.trace_id.hex() == good["traceId"]
    assert record.span_id.hex() == good["spanId"]
    assert (record.time_unix_nano, record.severity_number) == (5, 9)
    assert (record.event_name, record.body.string_value) == ("gen_ai.choice", "said")
    metric = {"name": "m", "histogram": {"dataPoints": [{"count": "x"}]}}
    metrics = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric, metric]}]}]}
    [measured] = otlp_json.parse_metrics(json.dumps(metrics).encode()).resource_metrics
    assert len(measured.scope_metrics[0].metrics) == 2
