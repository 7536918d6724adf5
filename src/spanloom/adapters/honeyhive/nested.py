"""Events inside events: the LangChain handler of HoneyHive's client sends a tree of events."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from spanloom.codec import json_codec
from spanloom.codec.struct_reader import value_object
from spanloom.model import dashed, uuid7
from spanloom.model.checks import Violations
from spanloom.v1 import event_pb2

# The bytes of a message are read up to a depth, and each of these levels takes five.
MOST_LEVELS: Final = 15
_CHILDREN: Final = "children"


class Placed(NamedTuple):
    """An event, where it is in the request, and the index of the event that it is inside of, -1
    for none."""

    event: event_pb2.Event
    place: str
    parent: int


def unfolded(events: Iterable[event_pb2.Event], places: Sequence[str]) -> list[Placed]:
    """The events without children, and then their children, level by level: so the ids in an answer
    begin with those of the events that were sent in the list.

    A child without a parent of its own gets the event that it is inside of, and its session.

    Args:
        places: Where each event is in the request.

    Raises:
        SpanloomError: INVALID_ARGUMENT names each child that is no event.
    """
    found = [Placed(event, place, -1) for event, place in zip(events, places, strict=True)]
    bad = Violations()
    first = 0  # of a level
    for _ in range(MOST_LEVELS + 1):
        level = range(first, len(found))
        first = len(found)
        for index in level:
            if found[index].event.HasField(_CHILDREN):
                parent = _without_children(found[index].event)
                children = _children(found[index], parent, bad)
                found[index] = found[index]._replace(event=parent)
                found += [child._replace(parent=index) for child in children]
    if len(found) > first:
        bad.add(found[-1].place, f"is inside of more than {MOST_LEVELS} events")
    bad.refuse()
    return found


def has_children(events: Iterable[event_pb2.Event]) -> bool:
    """Whether events are inside of one of these."""
    return any(event.HasField(_CHILDREN) for event in events)


def _without_children(event: event_pb2.Event) -> event_pb2.Event:
    """The event with an id, by which its children name it."""
    parent = event_pb2.Event()
    parent.CopyFrom(event)
    parent.ClearField(_CHILDREN)
    if not parent.event_id:
        is_session = parent.event_type == "session"
        parent.event_id = (is_session and parent.session_id) or dashed(uuid7())
    return parent


def _children(sent: Placed, parent: event_pb2.Event, bad: Violations) -> list[Placed]:
    place = f"{sent.place}.{_CHILDREN}"
    documents = value_object(sent.event.children)
    if documents is None:
        return []
    if not isinstance(documents, list):
        bad.add(place, "must be a list of events")
        return []
    found = []
    for index, document in enumerate(documents):
        at = f"{place}[{index}]"
        try:
            child = json_codec.parse(document, event_pb2.Event).message
        except json_codec.JsonError as error:
            for field, description in error.violations:
                bad.add(f"{at}.{field}" if field else at, description)
            continue
        child.parent_id = child.parent_id or parent.event_id
        found.append(Placed(child, at, -1))
    return found
