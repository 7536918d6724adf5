"""The bulk of a soak: batches of spans by each API, sent until they are acknowledged.

The ledger knows which batches must be there and which must be gone. It follows a tail, too, which
must bring every span that was not deleted.
"""

from __future__ import annotations

import itertools
import json
import random
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.history.client import Answer, Call, Client, Outcome
from tests.history.servers import Servers
from tests.soak.samples import TAIL, Calls

SPANS = 20
_WHOLE = (1 << SPANS) - 1
# The ids of the ledger, and of nothing else, begin so.
_PREFIX = "50"
_DELETED_SHARE = 0.1
_PAUSE = 0.05
# After so many seconds without a line the tail is resumed.
_LONGEST_SILENCE = 3.0
# After which a write that is refused or unanswered all the time is a fault.
_LONGEST = 120.0
_WORDS = (
    *("weather", "invoice", "refund", "flight", "hotel", "Paris", "Berlin", "Tokyo", "customer"),
    *("order", "cancel", "tomorrow", "balance", "account", "password", "reset", "shipment"),
)


def trace_id(number: int) -> str:
    """The trace id of a batch."""
    return f"{_PREFIX}{number:030x}"


def span_ids(number: int) -> list[str]:
    """The span ids of a batch."""
    return [f"{_PREFIX}{number:010x}{n:04x}" for n in range(SPANS)]


def _text(number: int) -> str:
    return " ".join(random.Random(number).choices(_WORDS, k=30))


def _otlp(number: int) -> Call:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    now = time.time_ns()
    for span_id in span_ids(number):
        span = scope.spans.add(
            trace_id=bytes.fromhex(trace_id(number)),
            span_id=bytes.fromhex(span_id),
            name="execute_tool",
            start_time_unix_nano=now,
            end_time_unix_nano=now + 10**6,
        )
        for key, value in (("gen_ai.tool.name", "find"), ("input.value", _text(number))):
            span.attributes.add(key=key).value.string_value = value
    return Call(
        *("POST", "/v1/traces", request),
        method="opentelemetry.proto.collector.trace.v1.TraceService/Export",
    )


def _events(number: int) -> Call:
    events = [
        {
            "event_id": event_id,
            "session_id": trace_id(number),
            "event_type": "tool",
            "event_name": "find",
            "source": "soak",
            "start_time": time.time_ns() // 10**6,
            "duration": 1,
            "inputs": {"text": _text(number)},
        }
        for event_id in span_ids(number)
    ]
    body = {"events": events}
    return Call(
        *("POST", "/events/batch", body),
        method="spanloom.v1.EventService/CreateEventBatch",
        message=body,
    )


def _spans(number: int) -> Call:
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    spans = [
        {
            "traceId": trace_id(number),
            "spanId": span_id,
            "name": "find",
            "kind": "SPAN_KIND_TOOL",
            "startTime": now,
            "duration": "0.001s",
            "input": {"text": _text(number)},
        }
        for span_id in span_ids(number)
    ]
    body = {"spans": spans}
    return Call(
        *("POST", "/v1/spans:write", body),
        method="spanloom.v1.SpanService/WriteSpans",
        message=body,
    )


# A batch as each API takes it.
SHAPES: tuple[Callable[[int], Call], ...] = (_otlp, _events, _spans)


@dataclass(frozen=True)
class Compared:
    """How many spans are not there, are listed twice, or are there though they were deleted."""

    lost: int
    doubled: int
    returned: int


def compared(
    kept: Iterable[int], deleted: Iterable[int], listed: Iterable[Mapping[str, Any]]
) -> Compared:
    """The batches that must be there and that must be gone, beside all spans of the project."""
    found: dict[int, int] = {}
    doubled = 0
    for span in listed:
        place = _place(span)
        if place is not None:
            number, bit = place
            doubled += bool(found.get(number, 0) & bit)
            found[number] = found.get(number, 0) | bit
    return Compared(
        sum((_WHOLE & ~found.get(number, 0)).bit_count() for number in kept),
        doubled,
        sum(found.get(number, 0).bit_count() for number in deleted),
    )


@dataclass(frozen=True)
class Verdict:
    """What became of the spans that were acknowledged."""

    acknowledged: int
    deleted: int
    repeated_calls: int
    found: Compared
    missing_in_tail: int

    @property
    def is_clean(self) -> bool:
        return self.found == Compared(0, 0, 0) and not self.missing_in_tail


class Ledger:
    """What was written, deleted, and seen by the tail. `seconds`: the pause between two batches of
    one writer, on average.
    """

    def __init__(self, servers: Servers, key: str, calls: Calls, seconds: float) -> None:
        self._servers = servers
        self._key = key
        self._calls = calls
        self._seconds = seconds
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._kept: list[int] = []
        self._deleted: set[int] = set()
        self._sent: dict[int, float] = {}
        self._tailed: dict[int, int] = {}
        self._repeated = 0
        self.follows = threading.Event()

    def write(self, seed: int, stop: threading.Event) -> None:
        """Write batches, and now and then delete one; a writer's thread."""
        rng = random.Random(seed)
        client = Client(self._key, rng)
        while not stop.wait(rng.uniform(0, 2 * self._seconds)):
            number = next(self._numbers)
            if self._until_answered(client, rng.choice(SHAPES)(number), number):
                with self._lock:
                    self._kept.append(number)
            if rng.random() < _DELETED_SHARE:
                self._delete_one(client, rng)
        client.close()

    def some(self, rng: random.Random) -> int | None:
        """One of the batches that are kept."""
        with self._lock:
            return rng.choice(self._kept) if self._kept else None

    def follow(self, stop: threading.Event) -> None:
        """Follow a tail, and resume it when it is interrupted; the tail's thread."""
        cursor = ""
        timeout = httpx.Timeout(10.0, read=_LONGEST_SILENCE)
        with httpx.Client(trust_env=False, timeout=timeout) as http:
            http.headers["authorization"] = f"Bearer {self._key}"
            while not stop.is_set():
                try:
                    for answer in self._tail(http, cursor):
                        cursor = self._take(answer) or cursor
                        if stop.is_set():
                            break
                except (httpx.HTTPError, json.JSONDecodeError):
                    pass  # the server was killed, in the middle of a line perhaps
                stop.wait(_PAUSE)

    def await_tail(self, seconds: float) -> None:
        """Wait until the tail has brought all that it must, or so long."""
        end = time.monotonic() + seconds
        while self._untailed() and time.monotonic() < end:
            time.sleep(_PAUSE)

    def verdict(self, listed: Iterable[Mapping[str, Any]]) -> Verdict:
        """Compare with all spans of the project, as the API lists them."""
        return Verdict(
            SPANS * (len(self._kept) + len(self._deleted)),
            SPANS * len(self._deleted),
            self._repeated,
            compared(self._kept, self._deleted, listed),
            self._untailed(),
        )

    def _delete_one(self, client: Client, rng: random.Random) -> None:
        with self._lock:
            if not self._kept:
                return
            place = rng.randrange(len(self._kept))
            number, self._kept[place] = self._kept[place], self._kept[-1]
            self._kept.pop()
            self._deleted.add(number)
        path = f"/v1/traces/{trace_id(number)}/spans?allow_missing=true"
        self._until_answered(client, Call("DELETE", path))

    def _until_answered(self, client: Client, call: Call, number: int | None = None) -> bool:
        """Send the call again and again; whether it was acknowledged at last."""
        end = time.monotonic() + _LONGEST
        while time.monotonic() < end:
            up = self._servers.up()
            answer = Answer(Outcome.NOT_SENT, None, 0, 0)
            if up:
                if number is not None:
                    self._sent[number] = time.monotonic()
                answer = client.call(up[0], call)
                self._calls.add(call, answer)
            if answer.outcome is Outcome.OK:
                return True
            if answer.outcome is Outcome.FAULT:
                return False
            self._repeated += answer.outcome is not Outcome.NOT_SENT
            client.close()
            time.sleep(_PAUSE)
        self._calls.faults.append(f"{call.verb} {call.path}: not answered in {_LONGEST} s")
        return False

    def _tail(self, http: httpx.Client, cursor: str) -> Iterable[dict[str, Any]]:
        up = self._servers.up()
        if not up:
            return
        parameters = {"view": "SPAN_VIEW_BASIC", **({"cursor": cursor} if cursor else {})}
        url = f"http://{up[0].http}/v1/spans:tail"
        with http.stream("GET", url, params=parameters) as response:
            if response.status_code == 200:
                # A dropped iterator closes its connection.
                lines = response.iter_lines()
                for line in lines:
                    yield json.loads(line)
            else:
                self._calls.codes[TAIL, str(response.status_code)] += 1

    def _take(self, answer: Mapping[str, Any]) -> str:
        """Note what the tail brought; the cursor, "" for an error."""
        if "code" in answer:
            self._calls.codes[TAIL, answer["status"]] += 1
            return ""
        now = time.monotonic()
        for span in answer.get("spans", ()):
            place = _place(span)
            if place is not None:
                number, bit = place
                sent = self._sent.pop(number, None)
                if sent is not None:
                    self._calls.took(TAIL, now - sent)
                self._tailed[number] = self._tailed.get(number, 0) | bit
        self.follows.set()
        return str(answer["cursor"])

    def _untailed(self) -> int:
        """How many spans the tail has not brought."""
        with self._lock:
            kept = list(self._kept)
        return sum((_WHOLE & ~self._tailed.get(number, 0)).bit_count() for number in kept)


def _place(span: Mapping[str, Any]) -> tuple[int, int] | None:
    """The number of a span's batch, and the bit of the span in it."""
    id = span["traceId"]
    if not (id.startswith(_PREFIX) and len(id) == 32):
        return None
    return int(id[len(_PREFIX) :], 16), 1 << int(span["spanId"][-4:], 16)
