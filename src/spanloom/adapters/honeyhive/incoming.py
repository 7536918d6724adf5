"""Events as they come: of each its fields, and the bytes that a store keeps of it.

A message of protobuf is kept as its bytes. A JSON event is kept as JSON, so that it is neither made
a message to be stored nor read from one to be looked at. `event_fields` gives the same of both.

Only plain documents are read in this way: all names are those of the contract, and all values have
the JSON types of their fields. Any other is read by the JSON codec, which knows every spelling and
names what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import orjson

from spanloom.adapters.honeyhive.nested import has_children, unfolded
from spanloom.codec import json_codec
from spanloom.codec.struct_reader import brief_reader, json_number, message_fields
from spanloom.model import Json
from spanloom.model.span import EVENT_FIELDS, EVENT_OBJECTS, SHOWN_KEYS
from spanloom.v1 import event_pb2, event_service_pb2

_brief_fields = brief_reader(
    event_pb2.Event.DESCRIPTOR,
    # Nothing of these is a column.
    skipped=frozenset(EVENT_FIELDS) - {"config", "metadata", "error", "project"},
    members={
        "config": tuple(key for head, key in SHOWN_KEYS if head == "config"),
        "metadata": ("model", *(key for head, key in SHOWN_KEYS if head == "metadata")),
    },
)
_TIMES: Final = ("start_time", "end_time", "duration")
_COUNTS: Final = ("prompt_tokens", "completion_tokens")
# The types of the fields' values in a plain document, where they are not texts.
_TYPES: Final[Mapping[str, tuple[type, ...]]] = {
    **dict.fromkeys(("inputs", *EVENT_OBJECTS), (dict,)),
    **dict.fromkeys(_TIMES, (int, float)),
    "outputs": (dict, list, str, int, float, bool),
    "children_ids": (list,),
    "children": (),  # they are events of their own
}
_PLAIN: Final = frozenset(
    (field.name, kind)
    for field in event_pb2.Event.DESCRIPTOR.fields
    for kind in (*_TYPES.get(field.name, (str,)), type(None))
)
# What orjson writes of a float without a fraction; a text may look the same.
_WHOLE_FLOAT: Final = re.compile(rb"\.0[,\]}]")
# So many objects and lists inside one another surely fit in a message: each object takes three
# levels, and the request, the event and its field one each.
_SURE_LEVELS: Final = (json_codec.MAX_LEVELS - 4) // 3


class SentEvent(NamedTuple):
    """An event as it came.

    Args:
        fields: What was set, by the names of the message. If `kept` is given, those that columns
            need, and any others.
        kept: The bytes for a store; None if nobody stores the event by them.
    """

    fields: dict[str, Json]
    kept: bytes | None = None


@dataclass(frozen=True, slots=True)
class EventBatch:
    """A batch as it came: its events, and the request, which may lack them.

    Where events were inside of others, `places` says where each was in the request, and `parents`
    which one it was inside of, -1 for none.
    """

    request: event_service_pb2.CreateEventBatchRequest
    events: list[SentEvent]
    places: Sequence[str] = ()
    parents: Sequence[int] = ()

    def place(self, field: str, index: int) -> str:
        """Where an event is in the request, whose list of events is a field."""
        return self.places[index] if self.places else f"{field}[{index}]"

    def message(self, index: int) -> event_pb2.Event:
        """An event as a message."""
        if self.request.events:
            return self.request.events[index]
        document = orjson.loads(self.events[index].kept or b"")
        return json_codec.parse(document, event_pb2.Event).message


def sent_event(event: event_pb2.Event, *, brief: bool) -> SentEvent:
    """The event of a message.

    Args:
        brief: for a store; else it has all fields, and nothing to be kept.
    """
    if not brief:
        return SentEvent(message_fields(event))
    kept, fields = _brief_fields(event)
    return SentEvent(fields, kept)


def sent_batch(
    request: event_service_pb2.CreateEventBatchRequest,
    *,
    brief: bool = True,
    place: str = "",
) -> EventBatch:
    """The batch of a message.

    Args:
        brief: As of `sent_event`.
        place: Where the one event of the batch is, if it is not in a list.

    Raises:
        SpanloomError: INVALID_ARGUMENT names each child of an event that is no event.
    """
    if not has_children(request.events):
        return EventBatch(request, [sent_event(event, brief=brief) for event in request.events])
    places = [place] if place else [f"events[{n}]" for n in range(len(request.events))]
    found = unfolded(request.events, places)
    whole = event_service_pb2.CreateEventBatchRequest()
    whole.CopyFrom(request)
    del whole.events[:]
    whole.events.extend(each.event for each in found)
    return EventBatch(
        whole,
        [sent_event(event, brief=brief) for event in whole.events],
        [each.place for each in found],
        [each.parent for each in found],
    )


def json_batch(document: object) -> tuple[EventBatch, list[str]] | None:
    """The batch of a CreateEventBatchRequest in JSON, and the names of what it has no field for.

    Args:
        document: As orjson loads it. It belongs to the batch from then on.

    Returns:
        None if the document is not plain.

    Raises:
        JsonError: Something beside the events is wrong. It names all that is.
    """
    if type(document) is not dict or type(events := document.get("events")) is not list:
        return None
    sent = []
    for event in events:
        made = _json_event(event)
        if made is None:
            return None
        sent.append(made)
    rest = {name: value for name, value in document.items() if name != "events"}
    parsed = json_codec.parse(rest, event_service_pb2.CreateEventBatchRequest)
    return EventBatch(parsed.message, sent), parsed.ignored


def json_event(document: object) -> tuple[SentEvent, list[str]] | None:
    """The event of a CreateEventRequest in JSON, and no names; as `json_batch`."""
    if type(document) is not dict or document.keys() != {"event"}:
        return None
    made = _json_event(document["event"])
    return made and (made, [])


def changed_event(
    event: SentEvent, change: Callable[[dict[str, Any]], dict[str, Any]]
) -> SentEvent:
    """A JSON event with its fields changed.

    Args:
        change: Gives the same dict if nothing changes. A value keeps its type of JSON.

    Raises:
        ValueError: The event is not plain any more.
    """
    fields = orjson.loads(event.kept or b"{}")
    changed = change(fields)
    if changed is fields:
        return event
    made = _json_event(changed)
    if made is None:
        raise ValueError("the changed event is not plain")
    return made


def event_fields(kept: bytes) -> dict[str, Any]:
    """All fields of an event of which `kept` was stored, as `message_fields` gives them."""
    # No message begins with this byte: it would be the group 15, which an event does not have.
    if kept[:1] != b"{":
        return message_fields(event_pb2.Event.FromString(kept))
    fields: dict[str, Any] = orjson.loads(kept)
    if _WHOLE_FLOAT.search(kept):
        fields = _with_json_numbers(fields)
    if not fields.get("children_ids", True):
        del fields["children_ids"]
    _read_times(fields)
    return fields


def _json_event(event: Any) -> SentEvent | None:
    """The event of a JSON object; None if it is not plain."""
    if type(event) is not dict or not _PLAIN.issuperset(
        zip(event, map(type, event.values()), strict=True)
    ):
        return None
    if None in event.values():  # null leaves a field unset, but `outputs` can be null
        event = {name: v for name, v in event.items() if v is not None or name == "outputs"}
    children = event.get("children_ids")
    if children and not all(type(child) is str for child in children):
        return None
    try:
        kept = orjson.dumps(event, option=orjson.OPT_STRICT_INTEGER)
    except orjson.JSONEncodeError:  # an integer that a double may not hold
        return None
    brackets = len(kept) - len(kept.translate(None, b"[{"))
    if brackets > _SURE_LEVELS and not _has_levels(event, _SURE_LEVELS):
        return None
    _read_times(event)
    metadata = event.get("metadata")
    if metadata:
        for name in _COUNTS:
            if type(value := metadata.get(name)) is float:
                metadata[name] = json_number(value)
    return SentEvent(event, kept)


def _has_levels(value: Any, levels: int) -> bool:
    """Whether at most so many objects and lists are inside one another."""
    inside = value.values() if type(value) is dict else value
    return levels > 0 and all(
        _has_levels(item, levels - 1) for item in inside if type(item) in (dict, list)
    )


def _with_json_numbers(value: Any) -> Any:
    """The value with its floats as they would be in a message of protobuf."""
    kind = type(value)
    if kind is dict:
        return {name: _with_json_numbers(item) for name, item in value.items()}
    if kind is list:
        return [_with_json_numbers(item) for item in value]
    return json_number(value) if kind is float else value


def _read_times(fields: dict[str, Any]) -> None:
    for name in _TIMES:
        if name in fields:
            fields[name] = float(fields[name])
