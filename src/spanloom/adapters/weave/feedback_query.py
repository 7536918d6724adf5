"""Conditions on feedback as Weave's API has them: `{"$expr": {"$eq": [a, b]}}`, where an operand is
`{"$getField": path}`, `{"$literal": value}` or another expression."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from spanloom.adapters.weave.feedback import REFS, SCORER_MAPS
from spanloom.errors import SpanloomError, invalid_field
from spanloom.model import Feedback, Json

Holds = Callable[[Mapping[str, Json]], Any]

_MOST_LEVELS: Final = 10


def feedback_json(feedback: Feedback) -> dict[str, Json]:
    """The fields of a feedback that conditions and paths name."""
    body = feedback.body
    return {
        **{name: body[name] for name in (*REFS, *SCORER_MAPS) if name in body},
        "id": feedback.id,
        "feedback_type": feedback.type,
        "weave_ref": feedback.ref,
        "creator": feedback.creator or None,
        "created_at": feedback.created_ns / 1e9,
        "payload": body.get("payload", {}),
        "scorer_tags": body.get("scorer_tags", []),
    }


def condition(query: Mapping[str, Json]) -> Holds:
    """Whether a feedback, as `feedback_json` gives it, meets a query. INVALID_ARGUMENT names
    `query`."""
    if "$expr" not in query:
        raise _invalid("must be an object with $expr")
    return _expression(query["$expr"], 0)


def at_path(value: Json, path: str) -> Json:
    """The value at a dotted path, None for none; `payload_dump` is another name of the payload."""
    steps = path.split(".")
    if steps[0] == "payload_dump":
        steps[0] = "payload"
    for step in steps:
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _expression(expression: Json, level: int) -> Holds:
    if not isinstance(expression, dict) or len(expression) != 1 or level > _MOST_LEVELS:
        raise _invalid("an expression must be an object with one operator")
    [(name, given)] = expression.items()
    if name == "$literal":
        return lambda feedback: given
    if name == "$getField":
        if not isinstance(given, str):
            raise _invalid("$getField must be a text")
        return lambda feedback: at_path(feedback, given)
    if name == "$contains":
        return _contains(given, level)
    operands = given if isinstance(given, list) else [given]
    if name == "$in":
        return _is_in(operands, level)
    parts = [_expression(each, level + 1) for each in operands]
    if name == "$not" and len(parts) == 1:
        return lambda feedback: not parts[0](feedback)
    if name in _JOINED:
        join = _JOINED[name]
        return lambda feedback: join(part(feedback) for part in parts)
    if name in _COMPARED and len(parts) == 2:
        compare = _COMPARED[name]
        return lambda feedback: compare(parts[0](feedback), parts[1](feedback))
    raise _invalid(f"{name!r} is no operator with {len(parts)} operands")


def _is_in(operands: list[Json], level: int) -> Holds:
    if len(operands) != 2 or not isinstance(operands[1], list):
        raise _invalid("$in needs an operand and an array")
    one = _expression(operands[0], level + 1)
    among = [_expression(each, level + 1) for each in operands[1]]
    return lambda feedback: any(one(feedback) == each(feedback) for each in among)


def _contains(given: Json, level: int) -> Holds:
    if not isinstance(given, dict) or not {"input", "substr"} <= given.keys():
        raise _invalid("$contains needs input and substr")
    text, part = (_expression(given[name], level + 1) for name in ("input", "substr"))
    folds = bool(given.get("case_insensitive"))

    def holds(feedback: Mapping[str, Json]) -> bool:
        whole, wanted = text(feedback), part(feedback)
        if not isinstance(whole, str) or not isinstance(wanted, str):
            return False
        return wanted.lower() in whole.lower() if folds else wanted in whole

    return holds


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def holds(one: Any, other: Any) -> bool:
        numbers = all(type(each) in (int, float) for each in (one, other))
        texts = all(isinstance(each, str) for each in (one, other))
        return (numbers or texts) and compare(one, other)

    return holds


_JOINED: Final[dict[str, Callable[..., bool]]] = {"$and": all, "$or": any}
_COMPARED: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "$eq": lambda one, other: one == other,
    "$gt": _ordered(lambda one, other: one > other),
    "$gte": _ordered(lambda one, other: one >= other),
    "$lt": _ordered(lambda one, other: one < other),
    "$lte": _ordered(lambda one, other: one <= other),
}


def _invalid(description: str) -> SpanloomError:
    return invalid_field("query", description)
