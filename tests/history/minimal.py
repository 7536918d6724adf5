"""Makes the history of a violation smaller, so that people can read it.

Each step makes a history that allows more than the one before: whatever orders explain the larger
history explain the smaller one. So what the smaller one cannot explain, the larger one cannot.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tests.history.checker import UndecidedError, Violation, check
from tests.history.model import (
    Action,
    Create,
    Delete,
    GiveFeedback,
    Operation,
    Read,
    ReadFeedback,
    ReadItems,
    Replace,
    Update,
)

# A smaller history that needs more configurations than this is not taken.
_MOST_CONFIGURATIONS = 2_000


def narrowed(
    history: Sequence[Operation], violation: Violation
) -> tuple[list[Operation], Violation] | None:
    """The history of a single event or span until the violation, and the violation in it, where
    that suffices.
    """
    end = violation.operation.ended
    assert end is not None
    until = [
        one if _answered_by(one, end) else replace(one, ended=None)
        for one in history
        if one.began <= end and (_answered_by(one, end) or _is_write(one))
    ]
    for item in _items(violation.operation.action):
        of_item = [made for one in until if (made := projected(one, item)) is not None]
        found = _violation_at(end, of_item)
        if found is not None:
            return of_item, found
    return None


def minimal(history: Sequence[Operation], violation: Violation) -> list[Operation]:
    """A smaller history, by time, of a narrowed violation.

    Reads are left out where the others suffice. A write whose answer does not matter has none: its
    `ended` is None.
    """
    end = violation.operation.ended
    assert end is not None
    smaller = list(history)
    for one in [one for one in history if not _is_write(one) and one.ended != end]:
        without = [other for other in smaller if other is not one]
        if _violation_at(end, without):
            smaller = without
    for one in [one for one in smaller if _is_write(one) and one.ended not in (None, end)]:
        weaker = [replace(other, ended=None) if other is one else other for other in smaller]
        if _violation_at(end, weaker):
            smaller = weaker
    return sorted(smaller, key=lambda one: one.began)


def _answered_by(one: Operation, time: int) -> bool:
    return one.ended is not None and one.ended <= time


def _is_write(one: Operation) -> bool:
    return not isinstance(one.action, Read)


def _violation_at(end: int, history: Sequence[Operation]) -> Violation | None:
    """The violation by the answer at this time."""
    try:
        found = check(history, most=_MOST_CONFIGURATIONS)
    except UndecidedError:
        return None
    return next((violation for violation in found if violation.operation.ended == end), None)


def _items(action: Action) -> list[str]:
    """The events and spans that an answer is about, as far as it names them."""
    if isinstance(action, ReadItems):
        return [action.id] if action.id else sorted({seen.id for seen in action.seen})
    if isinstance(action, ReadFeedback) and action.target[0] == "span":
        return [action.target[1]]
    return [action.id] if isinstance(action, Delete) and action.kind == "event" else []


def projected(one: Operation, item: str) -> Operation | None:
    """The operation as far as it is about one event or span; None where it is not."""
    action = _projected(one.action, item)
    return None if action is None else replace(one, action=action)


def _projected(action: Action, item: str) -> Action | None:
    target = ("span", item)
    if isinstance(action, Create):
        items = tuple((id, place) for id, place in action.items if id == item)
        return replace(action, items=items) if items else None
    if isinstance(action, Replace):
        return replace(action, items=tuple(id for id in action.items if id == item))
    if isinstance(action, Update):
        return action if action.item == item else None
    if isinstance(action, Delete):
        if action.kind == "event":
            return action if action.id == item else None
        # Whether others were there is not known any more.
        return replace(action, found=None)
    if isinstance(action, ReadItems):
        if action.id not in (None, item):
            return None
        seen = tuple(one for one in action.seen if one.id == item)
        return replace(action, seen=seen, id=item)
    if isinstance(action, GiveFeedback | ReadFeedback):
        return action if action.target == target else None
    return None
