"""Train a dictionary for `spanloom.store.sql.compression` by the messages in tests/data.

    python -m tools.zstd_dictionary NUMBER

A dictionary that was released is never made again: what was compressed by it needs it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import zstandard

from spanloom.adapters.basalt.read import read_trace
from spanloom.codec import json_codec, otlp_json
from spanloom.model import Span
from spanloom.store.sql.bodies import body_of
from spanloom.store.sql.rows import json_bytes
from spanloom.v1 import event_pb2, trace_pb2

_DATA = Path("tests/data")
_SIZE = 16_384
_TARGET = Path("src/spanloom/store/sql/dictionaries")


def otlp() -> Iterator[bytes]:
    """Messages of spans."""
    for path in sorted((_DATA / "otlp").rglob("*.json")):
        for group in otlp_json.parse(path.read_bytes()).resource_spans:
            for scope in group.scope_spans:
                for span in scope.spans:
                    yield span.SerializeToString()


def bodies() -> Iterator[bytes]:
    """JSON bodies of spans of the other adapters."""
    found: list[Span] = []
    for path in sorted((_DATA / "basalt").glob("*.json")):
        sent = json.loads(path.read_text())["body"]
        trace = json_codec.parse(sent, trace_pb2.Trace).message
        found += read_trace(trace, trace_id="t", received_ns=1).spans
    yield from (json_bytes(body_of(span)) for span in found)


def events() -> Iterator[bytes]:
    """Messages of HoneyHive's events."""
    request = json.loads((_DATA / "documented/create_event_batch.json").read_text())["request"]
    sent = [request, *(json.loads(p.read_text())["body"] for p in (_DATA / "honeyhive").glob("*"))]
    for body in sent:
        for event in body.get("events", [body.get("event", {})]):
            message = json_codec.parse(event, event_pb2.Event).message
            yield message.SerializeToString()


def main() -> None:
    number = int(sys.argv[1])
    samples: list[bytes | bytearray | memoryview[int]] = [*otlp(), *bodies(), *events()]
    dictionary = zstandard.train_dictionary(_SIZE, samples, dict_id=number)
    _TARGET.mkdir(exist_ok=True)
    (_TARGET / f"{number}.zdict").write_bytes(dictionary.as_bytes())


if __name__ == "__main__":
    main()
