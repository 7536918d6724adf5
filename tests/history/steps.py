"""Operations before they are carried out: the call, and the action that it is to the model,
depending on the outcome.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from tests.history.client import Call, Outcome
from tests.history.model import (
    INPUT,
    METADATA,
    METRIC,
    OUTPUT,
    Action,
    Delete,
    GiveFeedback,
    ReadFeedback,
    ReadItems,
    Seen,
    Target,
    Update,
    in_order,
)
from tests.history.servers import PROJECT

EVENTS = "spanloom.v1.EventService"
TRACES = "spanloom.v1.TraceService"
# Where an event's JSON has the fields of the model, each in a key `m`.
OF_EVENT = {INPUT: "inputs", METADATA: "metadata", METRIC: "metrics", OUTPUT: "outputs"}
EVENT_FIELDS = tuple(OF_EVENT)
_KIND_OF_REF = {"span": "agent_span", "trace": "agent_turn", "conversation": "agent_conversation"}
_REMOVALS = 0.15

Json = Any
# The action of an outcome; None where no valid answer is like this.
Explain = Callable[[Outcome, Json], Action | None]


@dataclass(frozen=True, slots=True)
class Step:
    """A call, and what it is to the model. `parts`: what it is where it is several writes that are
    not one.
    """

    call: Call
    explain: Explain
    is_read: bool = False
    parts: tuple[Action, ...] = ()


def get_event(event_id: str, fields: tuple[str, ...] = EVENT_FIELDS) -> Step:
    """A read of one event."""
    call = Call(
        *("GET", f"/v1/events/{event_id}"),
        method=f"{EVENTS}/GetEvent",
        message={"event_id": event_id},
    )
    return read(call, fields, lambda answer: [event_seen(answer["event"], fields)], id=event_id)


def read_events(
    name: str,
    value: str,
    place: str | None,
    way: int,
    fields: tuple[str, ...] = EVENT_FIELDS,
) -> Step:
    """A read of all events whose field `name` has the value, by one of four methods."""
    condition = {"field": name, "operator": "is", "value": value, "type": "string"}
    body = {"filters": [condition], "limit": 100}
    query = f"limit=100&filters={quote(json.dumps([condition]))}"
    call = (
        Call("POST", "/events/export", body, method=f"{EVENTS}/ExportEvents", message=body),
        Call("POST", "/v1/events/export", body),
        Call("POST", "/v1/events/search", body),
        Call("GET", f"/v1/events?{query}"),
    )[way]
    return read(
        call,
        fields,
        lambda answer: [event_seen(e, fields) for e in answer.get("events", ())],
        place=place,
    )


def read_session(
    session_id: str, items: Sequence[str], fields: tuple[str, ...] = EVENT_FIELDS
) -> Step:
    """A read of a session's tree."""

    def events(answer: Json) -> Iterator[Seen]:
        waiting = [answer]
        while waiting:
            node = waiting.pop()
            waiting += node.get("children", ())
            if node["event_id"] in items:
                yield event_seen(node, fields)

    return read(Call("GET", f"/session/{session_id}"), fields, events, place=session_id)


def read_chat(trace_id: str) -> Step:
    """A read of a trace's chat: a tool call for each tool's span, and what the user says to a trace
    with an input.
    """
    body = {"project_id": PROJECT, "trace_id": trace_id}

    def spans(answer: Json) -> Iterator[Seen]:
        for message in answer.get("messages", ()):
            if message["type"] == "tool_call":
                said = message["tool_call"]["tool_arguments"]
                yield Seen(message["span_id"], trace_id, (json.loads(said)["m"],))
            elif message["type"] == "user_message":
                said = message["user_message"]["text"]
                value = json.loads(said)["m"] if said.startswith("{") else said
                yield Seen(trace_id, trace_id, (value,))

    return read(Call("POST", "/agents/traces/chat", body), (INPUT,), spans, place=trace_id)


def read_feedback(target: Target) -> Step:
    """A read of the feedback on a target."""
    body = {"project_id": PROJECT, "weave_ref": _ref(target), "feedback_type": "mark"}

    def explain(outcome: Outcome, answer: Json) -> Action | None:
        if outcome is not Outcome.OK:
            return None
        found = [(one["id"], one["payload"]["m"]) for one in answer.get("result", ())]
        return ReadFeedback(target, tuple(sorted(found)))

    return Step(Call("POST", "/feedback/query", body), explain, is_read=True)


def give_feedback(feedback_id: str, target: Target, marker: str) -> Step:
    """Feedback on a target."""
    body = {
        "project_id": PROJECT,
        "id": feedback_id,
        "weave_ref": _ref(target),
        "feedback_type": "mark",
        "payload": {"m": marker},
    }
    call = Call("POST", "/feedback/create", body)
    return write(GiveFeedback(feedback_id, target, marker), call)


def update(event_id: str, fields: Sequence[str], marker: str, rng: random.Random) -> Step:
    """An update of some of the fields of an event; now and then one is removed."""
    values: dict[str, str | None] = {}
    for name in rng.sample(fields, rng.randrange(1, len(fields) + 1)):
        is_removed = name != OUTPUT and rng.random() < _REMOVALS
        values[name] = None if is_removed else marker
    body = {
        "event_id": event_id,
        **{OF_EVENT[name]: {"m": value} for name, value in values.items()},
    }
    verb_path = rng.choice([("PUT", "/events"), ("PUT", f"/v1/events/{event_id}")])
    call = Call(*verb_path, body, method=f"{EVENTS}/UpdateEvent", message=body)
    return write(Update(event_id, tuple(values.items())), call)


def delete_event(event_id: str) -> Step:
    """The deletion of an event."""
    call = Call(
        *("DELETE", f"/v1/events/{event_id}"),
        method=f"{EVENTS}/DeleteEvent",
        message={"event_id": event_id},
    )
    return _delete("event", event_id, call)


def delete_session(session_id: str) -> Step:
    """The deletion of a session."""
    return _delete("session", session_id, Call("DELETE", f"/session/{session_id}"))


def delete_trace(trace_id: str) -> Step:
    """The deletion of a trace."""
    call = Call(
        *("DELETE", f"/v1/traces/{trace_id}"),
        method=f"{TRACES}/DeleteTrace",
        message={"trace_id": trace_id},
    )
    return _delete("trace", trace_id, call)


def _delete(kind: str, id: str, call: Call) -> Step:
    found = {Outcome.OK: True, Outcome.NOT_FOUND: False}
    return Step(call, lambda outcome, _: Delete(kind, id, found.get(outcome)))


def write(action: Action, call: Call) -> Step:
    """A write that is always accepted, if it is answered."""
    return Step(call, lambda outcome, _: None if outcome is Outcome.NOT_FOUND else action)


def read(
    call: Call,
    fields: tuple[str, ...],
    seen: Callable[[Json], Iterable[Seen]],
    *,
    id: str | None = None,
    place: str | None = None,
) -> Step:
    """A read of events or spans; `seen` finds them in an answer. NOT_FOUND is an answer, too."""

    def explain(outcome: Outcome, answer: Json) -> Action | None:
        found = seen(answer) if outcome is Outcome.OK else ()
        return ReadItems(fields, in_order(found), id, place)

    return Step(call, explain, is_read=True)


def event_seen(event: Mapping[str, Json], fields: tuple[str, ...]) -> Seen:
    """What an event's JSON shows."""
    values = tuple(marker(event, OF_EVENT[name]) for name in fields)
    return Seen(event["event_id"], event["session_id"], values)


def marker(holder: Mapping[str, Json], name: str) -> str | None:
    """The marker in one of the objects of an event or a span."""
    value: str | None = (holder.get(name) or {}).get("m")
    return value


def _ref(target: Target) -> str:
    return f"weave:///history/{PROJECT}/{_KIND_OF_REF[target[0]]}/{quote(target[1], safe='')}"
