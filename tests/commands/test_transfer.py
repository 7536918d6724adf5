"""`spanloom export` and `import` of whole spans: of every adapter, and of any size."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as otlp
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceStub as Otlp
from opentelemetry.proto.trace.v1.trace_pb2 import Status
from pyarrow import parquet

from spanloom.client import Client
from spanloom.client.tables import columns_of
from spanloom.commands.connect import connected
from spanloom.v1 import span_pb2
from spanloom.v1.event_service_pb2 import CreateEventBatchRequest
from spanloom.v1.event_service_pb2_grpc import EventServiceStub
from spanloom.v1.trace_pb2 import Trace
from spanloom.v1.trace_service_pb2 import CreateTraceRequest
from spanloom.v1.trace_service_pb2_grpc import TraceServiceStub
from tests.test_cli import spanloom

DATA = Path(__file__).parent.parent / "data"
# Few code points, for each part is a call, and many bytes.
LARGE = "🙂" * 820_000


def documented(name: str) -> Any:
    return json.loads((DATA / "documented" / f"{name}.json").read_text())["request"]


def basalt(client: Client) -> None:
    trace = json_format.ParseDict(documented("create_trace"), Trace())
    client.call(TraceServiceStub(client.channel).CreateTrace, CreateTraceRequest(trace=trace))


def honeyhive(client: Client) -> None:
    batch = json_format.ParseDict(documented("create_event_batch"), CreateEventBatchRequest())
    client.call(EventServiceStub(client.channel).CreateEventBatch, batch)


def open_telemetry(client: Client) -> None:
    request = otlp.ExportTraceServiceRequest()
    resource = request.resource_spans.add()
    resource.resource.attributes.add(key="service.name").value.string_value = "app"
    scope = resource.scope_spans.add()
    scope.scope.name = "tests"
    span = scope.spans.add(
        trace_id=bytes(range(16)), span_id=bytes(range(8)), name="chat", kind=3, flags=257
    )
    span.start_time_unix_nano, span.end_time_unix_nano = 10**18, 10**18 + 1_500_000_001
    texts = {
        "gen_ai.operation.name": "chat",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.provider.name": "openai",
        "gen_ai.conversation.id": "c",
        "user.id": "u",
        "a.`b": "ä\x00",
    }
    for name, text in texts.items():
        span.attributes.add(key=name).value.string_value = text
    span.attributes.add(key="gen_ai.usage.input_tokens").value.int_value = 7
    span.attributes.add(key="big").value.int_value = 2**60 + 1
    span.attributes.add(key="raw").value.bytes_value = b"\xff"
    span.attributes.add(key="list").value.array_value.values.add().double_value = 0.5
    span.events.add(name="e", time_unix_nano=10**18 + 1)
    span.links.add(trace_id=b"l" * 16, span_id=b"s" * 8, trace_state="k=v")
    span.status.code = Status.STATUS_CODE_ERROR
    span.status.message = "refused"
    client.call(Otlp(client.channel).Export, request)


def native(client: Client) -> None:
    span = span_pb2.Span(trace_id="n", span_id="s", name="ask", conversation_id="c")
    span.model.request_model, span.model.cost_usd = "m", 0.5
    span.input_messages.add(role="user").parts.add(text="Hi")
    span.metadata["a"] = {"b": [1.5, None, "ä"]}
    client.write_spans([span])


def shortened(client: Client) -> None:
    """Spans that a list shortens: one long text, and more short ones than an answer holds."""
    long = span_pb2.Span(trace_id="n", span_id="long", name="long")
    long.input.struct_value["a.b"] = {"text": [LARGE]}
    long.attributes["k`"].string_value = LARGE[:5000]
    long.attributes["raw"].bytes_value = b"\x00\xff" * 100
    many = span_pb2.Span(trace_id="n", span_id="many", name="many")
    many.output.list_value.extend([f"{n:05}{LARGE[:55]}" for n in range(14_000)])
    many.metadata["kept"] = "yes"
    client.write_spans([long, many])


ADAPTERS = (basalt, honeyhive, open_telemetry, native)


def stored(database: str) -> list[Any]:
    """All spans by their ids, with nothing that says how, when and in which order they came."""
    from spanloom.operations.span_files import whole_span

    with connected(None, None, "p", None, database) as client:
        spans = [whole_span(client, span) for span in client.list_spans()]
    for span in spans:
        span.ClearField("origin")
        span.ClearField("update_time")
    return sorted(spans, key=lambda span: (span.trace_id, span.span_id))


@pytest.mark.parametrize(
    ("writes", "name"),
    [
        (ADAPTERS, "spans.jsonl"),
        (ADAPTERS, "spans.parquet"),
        ((shortened,), "spans.jsonl"),
    ],
)
def test_what_was_exported_is_imported_equal(
    writes: Sequence[Callable[[Client], None]], name: str, tmp_path: Path
) -> None:
    first, second = (f"sqlite:///{tmp_path}/{which}.db" for which in "ab")
    with connected(None, None, "p", None, first, create=True) as client:
        for write in writes:
            write(client)
    sent = stored(first)
    assert len(sent) >= len(writes)
    done = spanloom("export", name, "--database", first, "--project", "p", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert f"exported {len(sent)} span" in done.stderr
    done = spanloom("import", name, "--database", second, "--project", "p", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"imported {len(sent)} span" in done.stderr
    found = stored(second)
    for before, after in zip(sent, found, strict=True):
        assert_has(after, before)
    # Nothing changes from there on.
    spanloom("export", name, "--database", second, "--project", "p", cwd=tmp_path)
    spanloom("import", name, "--database", second, "--project", "p", cwd=tmp_path)
    assert stored(second) == found


def assert_has(found: span_pb2.Span, sent: span_pb2.Span) -> None:
    """All that was sent is found; the server may have read more from it, such as messages."""
    for field, value in sent.ListFields():
        assert getattr(found, field.name) == value, field.name


def test_a_parquet_file_has_a_column_for_each_value(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/a.db"
    with connected(None, None, "p", None, database, create=True) as client:
        open_telemetry(client)
    spanloom("export", "a.parquet", "--database", database, "--project", "p", cwd=tmp_path)
    table = parquet.read_table(tmp_path / "a.parquet")
    names = [name for name, _, _ in columns_of(span_pb2.Span.DESCRIPTOR)]
    assert table.column_names == [*names, "span"]
    [row] = table.drop_columns(["start_time", "end_time", "update_time"]).to_pylist()
    expected = {
        "trace_id": bytes(range(16)).hex(),
        "status.code": "error",
        "model.request_model": "gpt-4o",
        "model.input_tokens": 7,
        "user.id": "u",
        "origin": "open_telemetry",
        "duration": 1.500000001,
    }
    assert {name: row[name] for name in expected} == expected
    assert row["model.cost_usd"] > 0
    assert json.loads(row["attributes"])["big"] == {"intValue": str(2**60 + 1)}


def test_an_import_names_what_is_no_span_and_stores_the_rest(tmp_path: Path) -> None:
    lines = [
        {"traceId": "t", "spanId": "1"},
        {"traceId": "t"},
        {"traceId": "t", "spanId": "2"},
    ]
    file = tmp_path / "a.jsonl"
    file.write_text("\n".join(json.dumps(line) for line in lines))
    here = ("--database", "sqlite:///a.db", "--project", "p")
    done = spanloom("import", "a.jsonl", *here, cwd=tmp_path)
    assert done.returncode == 1
    assert "spanloom: line 2: " in done.stderr
    assert "spanloom: 1 span could not be stored\n" in done.stderr
    assert len(stored(f"sqlite:///{tmp_path}/a.db")) == 2
    for line, says in (
        ('{"traceId": []}', "line 1, traceId: "),
        ("[]", "line 1"),
        ('{"colour": "e"}', "line 1: 'colour' is no field"),
    ):
        file.write_text(line)
        done = spanloom("import", "a.jsonl", *here, cwd=tmp_path)
        assert done.returncode == 1
        assert says in done.stderr


@pytest.mark.parametrize("content", [b"x", None])
def test_a_file_that_is_not_parquet_of_spans_is_refused(
    content: bytes | None, tmp_path: Path
) -> None:
    file = tmp_path / "a.parquet"
    if content:
        file.write_bytes(content)
    else:
        parquet.write_table(pyarrow.table({"span": ["text"]}), file)
    done = spanloom("import", "a.parquet", "--database", "sqlite:///a.db", cwd=tmp_path)
    assert done.returncode == 1
    assert "is not a Parquet file of spans, or is damaged" in done.stderr


def test_an_export_may_be_of_a_part(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path}/a.db"
    with connected(None, None, "p", None, database, create=True) as client:
        for write in (basalt, honeyhive, open_telemetry):
            write(client)

    def exported(*options: str) -> int:
        here = ("--database", database, "--project", "p")
        done = spanloom("export", "a.jsonl", *here, *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return len((tmp_path / "a.jsonl").read_text().splitlines())

    assert exported("--trace", bytes(range(16)).hex()) == 1
    assert exported("--status", "error", "--model", "gpt-4o", "--kind", "model") == 1
    assert exported("--since", "2024-01-01", "--until", "2024-12-31") == 2
    assert exported("--attribute", "nothing=here") == 0
