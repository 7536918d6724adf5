"""The objects that the clients write and read: for each the calls that there are, and what their
answers mean to the model.
"""

from __future__ import annotations

import itertools
import random
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from tests.history import steps
from tests.history.client import Call, Outcome
from tests.history.model import (
    INPUT,
    METADATA,
    METRIC,
    OUTPUT,
    Action,
    Create,
    Operation,
    ReadResult,
    Replace,
    Seen,
    Target,
)
from tests.history.servers import PROJECT
from tests.history.steps import OF_EVENT, Json, Step

EVALUATOR = "versions"
# Its score tells which version of a trace it judged: 1 - version / _MOST_VERSIONS.
EVALUATOR_BODY = {"slug": EVALUATOR, "kind": "edit_similarity", "settings": {}}
_MOST_VERSIONS = 500
_START_MS = 1_767_225_600_000
# Fields by which all events of an object are found: by a column, and by the index of terms.
_NAMED = ("event_name", "config.of")
_OTLP = "opentelemetry.proto.collector.trace.v1.TraceService/Export"


@dataclass
class Markers:
    """Markers for writes, each given out once."""

    prefix: str
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def new(self) -> str:
        return f"{self.prefix}{next(self._numbers)}"


class Object(ABC):
    """What can be written together, and its recorded history."""

    # (weight, name of the method that makes the step)
    STEPS: tuple[tuple[int, str], ...] = ()

    def __init__(self, name: str, markers: Markers) -> None:
        self.name = name
        self.markers = markers
        self.operations: list[Operation] = []
        # Names that stand in event ids, sessions and traces.
        self.items: Sequence[str] = ()
        self.places: Sequence[str] = ()

    def step(self, rng: random.Random) -> Step:
        """A random step."""
        weights = [weight for weight, _ in self.STEPS]
        ((_, name),) = rng.choices(self.STEPS, weights)
        made: Step = getattr(self, name)(rng)
        return made

    @abstractmethod
    def final_steps(self) -> Iterator[Step]:
        """Reads that together show all of it."""

    # Steps that several kinds of objects have

    def update(self, rng: random.Random) -> Step:
        return steps.update(
            rng.choice(self.items), (METADATA, METRIC, OUTPUT), self.markers.new(), rng
        )

    def get_event(self, rng: random.Random) -> Step:
        return steps.get_event(rng.choice(self.items))

    def delete_event(self, rng: random.Random) -> Step:
        return steps.delete_event(rng.choice(self.items))

    def delete_session(self, rng: random.Random) -> Step:
        return steps.delete_session(rng.choice(self.places))

    def delete_trace(self, rng: random.Random) -> Step:
        return steps.delete_trace(rng.choice(self.places))

    def targets(self) -> list[Target]:
        """What feedback is given on."""
        return [("span", item) for item in self.items]

    def give_feedback(self, rng: random.Random) -> Step:
        target = rng.choice(self.targets())
        return steps.give_feedback(f"{target[1]}-f{rng.randrange(2)}", target, self.markers.new())

    def read_feedback(self, rng: random.Random) -> Step:
        return steps.read_feedback(rng.choice(self.targets()))

    def read_session(self, rng: random.Random) -> Step:
        return steps.read_session(rng.choice(self.places), self.items)

    def read_chat(self, rng: random.Random) -> Step:
        return steps.read_chat(rng.choice(self.places))


class EventGroup(Object):
    """Events that move between two sessions, created alone and in batches."""

    STEPS = (
        *((18, "create"), (7, "create_batch"), (18, "update"), (4, "give_feedback")),
        *((3, "delete_event"), (2, "delete_session"), (1, "delete_trace")),
        *((14, "get_event"), (15, "read_all"), (8, "read_session"), (4, "read_chat")),
        (4, "read_feedback"),
    )

    def __init__(self, name: str, markers: Markers) -> None:
        super().__init__(name, markers)
        self.items = [f"{name}-e{n}" for n in range(3)]
        self.places = [f"{name}-s{n}" for n in range(2)]

    def targets(self) -> list[Target]:
        return [*super().targets(), *(("conversation", session) for session in self.places)]

    def final_steps(self) -> Iterator[Step]:
        for named in _NAMED:
            yield steps.read_events(named, self.name, None, 0)
        yield from map(steps.get_event, self.items)
        for session in self.places:
            yield steps.read_session(session, self.items)
            yield steps.read_chat(session)
        yield from map(steps.read_feedback, self.targets())

    def create(self, rng: random.Random) -> Step:
        marker = self.markers.new()
        event_id, session = rng.choice(self.items), rng.choice(self.places)
        event = self._event(event_id, session, marker)
        call = Call(
            *("POST", "/events", {"event": event}),
            method=f"{steps.EVENTS}/CreateEvent",
            message={"event": event},
        )
        return steps.write(Create(marker, ((event_id, session),)), call)

    def create_batch(self, rng: random.Random) -> Step:
        marker = self.markers.new()
        items = tuple(
            (event_id, rng.choice(self.places))
            for event_id in rng.sample(self.items, rng.randrange(2, 4))
        )
        body = {"events": [self._event(*item, marker) for item in items]}
        call = Call(
            *("POST", "/events/batch", body),
            method=f"{steps.EVENTS}/CreateEventBatch",
            message=body,
        )
        return steps.write(Create(marker, items), call)

    def read_all(self, rng: random.Random) -> Step:
        if rng.random() < 0.3:
            session = rng.choice(self.places)
            return steps.read_events("session_id", session, session, rng.randrange(4))
        return steps.read_events(rng.choice(_NAMED), self.name, None, rng.randrange(4))

    def _event(self, event_id: str, session: str, marker: str) -> dict[str, Json]:
        # The event's id is among the inputs, so that no two events of a chat say the same.
        return {
            "event_id": event_id,
            "session_id": session,
            "event_type": "tool",
            "event_name": self.name,
            "source": "history",
            "start_time": _START_MS,
            "duration": 5,
            "config": {"of": self.name},
            **{name: {"m": marker} for name in OF_EVENT.values()},
            "inputs": {"m": marker, "event": event_id},
        }


class SentTrace(Object):
    """One trace that is sent again and again as a whole, each time with other logs, and judged by
    an evaluator.
    """

    STEPS = (
        *((20, "send"), (10, "update"), (4, "give_feedback")),
        *((2, "delete_session"), (3, "delete_trace")),
        *((16, "get_trace"), (10, "read_all"), (6, "get_event"), (8, "read_session")),
        *((5, "read_chat"), (4, "read_feedback"), (12, "read_result")),
    )

    def __init__(self, name: str, markers: Markers) -> None:
        super().__init__(name, markers)
        self.logs = [f"{name}-l{n}" for n in range(4)]
        self.items = [name, *self.logs]
        self.places = [name]
        self._versions: list[str] = []
        self._lock = threading.Lock()

    def targets(self) -> list[Target]:
        return [*(("span", log) for log in self.logs), ("trace", self.name)]

    def final_steps(self) -> Iterator[Step]:
        yield self._get_trace()
        yield steps.read_events("session_id", self.name, self.name, 0, (INPUT, METADATA))
        yield steps.read_session(self.name, self.items, (INPUT, METADATA))
        yield steps.read_chat(self.name)
        yield from map(steps.read_feedback, self.targets())

    def send(self, rng: random.Random) -> Step:
        with self._lock:
            marker = self.markers.new()
            self._versions.append(marker)
            version = len(self._versions)
        logs = rng.sample(self.logs, rng.randrange(1, 4))
        trace = {
            "id": self.name,
            "featureSlug": "history",
            "input": {"m": marker},
            "output": "y" * version + "x" * (_MOST_VERSIONS - version),
            "idealOutput": "x" * _MOST_VERSIONS,
            "metadata": {"m": marker},
            "evaluators": [{"slug": EVALUATOR}],
            "evaluationConfig": {"sampleRate": 1},
            "logs": [
                {
                    "id": log,
                    "type": "tool",
                    "name": log,
                    "input": {"m": marker},
                    "metadata": {"m": marker},
                }
                for log in logs
            ],
        }
        call = Call(
            *("POST", "/monitor/trace", trace),
            method=f"{steps.TRACES}/CreateTrace",
            message={"trace": trace},
        )
        return steps.write(Replace(marker, self.name, (self.name, *logs)), call)

    def update(self, rng: random.Random) -> Step:
        return steps.update(rng.choice(self.items), (METADATA,), self.markers.new(), rng)

    def get_event(self, rng: random.Random) -> Step:
        return steps.get_event(rng.choice(self.items), (INPUT, METADATA))

    def get_trace(self, rng: random.Random) -> Step:
        return self._get_trace()

    def read_all(self, rng: random.Random) -> Step:
        fields = (INPUT, METADATA)
        return steps.read_events("session_id", self.name, self.name, rng.randrange(4), fields)

    def read_session(self, rng: random.Random) -> Step:
        return steps.read_session(self.name, self.items, (INPUT, METADATA))

    def read_result(self, rng: random.Random) -> Step:
        return self.result_step()

    def result_step(self, *, settled: bool = False) -> Step:
        """A read of the evaluator's result; `settled`: when it must have come."""
        body = {
            "project_id": PROJECT,
            "weave_ref": f"weave:///spanloom/{PROJECT}/agent_turn/{quote(self.name, safe='')}",
            "feedback_type": "spanloom.evaluation",
        }

        def explain(outcome: Outcome, answer: Json) -> Action | None:
            results = answer.get("result", [])
            if len(results) > 1:
                return ReadResult(self.name, f"{len(results)} results", settled)
            versions = [self._version(result["payload"]) for result in results]
            return ReadResult(self.name, versions[0] if versions else None, settled)

        return Step(Call("POST", "/feedback/query", body), explain, is_read=True)

    def _version(self, payload: Mapping[str, Json]) -> str:
        number = round((1 - payload.get("score", 1)) * _MOST_VERSIONS)
        return self._versions[number - 1] if number else f"no version: {payload}"

    def _get_trace(self) -> Step:
        call = Call(
            *("GET", f"/v1/traces/{self.name}"),
            method=f"{steps.TRACES}/GetTrace",
            message={"trace_id": self.name},
        )

        def spans(answer: Json) -> list[Seen]:
            trace = answer["trace"]
            return [
                Seen(
                    span["id"],
                    self.name,
                    (steps.marker(span, "input"), steps.marker(span, "metadata")),
                )
                for span in (trace, *trace.get("logs", ()))
            ]

        return steps.read(call, (INPUT, METADATA), spans, place=self.name)


class ExportedTrace(Object):
    """One trace of spans that are exported by OTLP, alone and several at once."""

    STEPS = (
        *((24, "export"), (16, "update"), (4, "give_feedback")),
        *((3, "delete_event"), (1, "delete_session"), (3, "delete_trace")),
        *((14, "get_event"), (15, "read_all"), (6, "read_session"), (5, "read_chat")),
        *((6, "read_otlp"), (4, "read_feedback")),
    )

    def __init__(self, name: str, markers: Markers) -> None:
        """`name` is a number in hex, of up to 12 digits."""
        super().__init__(name, markers)
        self.places = [f"{name:0>32}"]
        self.items = [f"{name:0>12}000{n}" for n in range(3)]

    def final_steps(self) -> Iterator[Step]:
        (trace_id,) = self.places
        yield steps.read_events("session_id", trace_id, trace_id, 0)
        yield from map(steps.get_event, self.items)
        yield steps.read_session(trace_id, self.items)
        yield steps.read_chat(trace_id)
        yield self._read_otlp()
        yield from map(steps.read_feedback, self.targets())

    def export(self, rng: random.Random) -> Step:
        marker = self.markers.new()
        (trace_id,) = self.places
        chosen = rng.sample(self.items, rng.choice((1, 1, 2)))
        request = ExportTraceServiceRequest()
        scope = request.resource_spans.add().scope_spans.add()
        for span_id in chosen:
            span = scope.spans.add(
                trace_id=bytes.fromhex(trace_id),
                span_id=bytes.fromhex(span_id),
                name=span_id,
                start_time_unix_nano=_START_MS * 10**6,
                end_time_unix_nano=_START_MS * 10**6 + 5,
            )
            attributes = {"honeyhive_event_type": "tool"}
            attributes |= {f"honeyhive_{name}.m": marker for name in OF_EVENT.values()}
            attributes["honeyhive_inputs.event"] = span_id
            span.attributes.extend(
                KeyValue(key=key, value=AnyValue(string_value=value))
                for key, value in attributes.items()
            )
        parts = tuple(Create(marker, ((span_id, trace_id),)) for span_id in chosen)

        def explain(outcome: Outcome, answer: Json) -> Action | None:
            is_whole = outcome is not Outcome.OK or not answer.get("partialSuccess")
            return parts[0] if is_whole and outcome is not Outcome.NOT_FOUND else None

        call = Call("POST", "/v1/traces", request, method=_OTLP)
        return Step(call, explain, parts=parts)

    def read_all(self, rng: random.Random) -> Step:
        (trace_id,) = self.places
        return steps.read_events("session_id", trace_id, trace_id, rng.randrange(4))

    def read_otlp(self, rng: random.Random) -> Step:
        return self._read_otlp()

    def _read_otlp(self) -> Step:
        (trace_id,) = self.places

        def spans(answer: Json) -> Iterator[Seen]:
            for group in answer["resourceSpans"]:
                for scope in group["scopeSpans"]:
                    for span in scope["spans"]:
                        attributes = {a["key"]: a["value"] for a in span["attributes"]}
                        value = attributes["honeyhive_inputs.m"]["stringValue"]
                        yield Seen(span["spanId"].lower(), trace_id, (value,))

        return steps.read(
            Call("GET", f"/v1/traces/{trace_id}:otlp"), (INPUT,), spans, place=trace_id
        )
