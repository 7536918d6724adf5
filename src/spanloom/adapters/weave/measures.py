"""Values of spans and sums over them, as Weave's API names them.

A value is named by {"source", "key"}: a field of AgentSpan (with dots or underscores, and with the
names of OpenTelemetry's conventions), a derived one, or a custom attribute. A span is here the
JSON of an AgentSpan, with what is derived of it (`facts_of`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from spanloom.adapters.weave.feedback_query import condition
from spanloom.adapters.weave.spans import span_fields
from spanloom.errors import SpanloomError, invalid_field
from spanloom.model import Json
from spanloom.v1 import agent_span_service_pb2 as pb

Facts = Mapping[str, Json]
Given = Mapping[str, Json]

_DERIVED: Final = ("duration_ms", "total_tokens")
_CUSTOM: Final = {f"custom_attrs_{kind}": kind for kind in ("string", "int", "float", "bool")}
_OTHER_NAMES: Final = {
    "model": "request_model",
    "provider": "provider_name",
    "operation": "operation_name",
    "name": "span_name",
    "status": "status_code",
}
# Fields that are texts of any length; sums need none of them.
_CONTENTS: Final = (
    *("input_messages", "output_messages", "system_instructions", "reasoning_content"),
    *("tool_call_arguments", "tool_call_result"),
)
_VALUES: Final = frozenset(
    name
    for name, field in pb.AgentSpan.DESCRIPTOR.fields_by_name.items()
    if not field.is_repeated and name not in _CONTENTS
)
VALUE_TYPES: Final = ("datetime", "number", "boolean", "string")


def facts_of(message: pb.AgentSpan, *, with_contents: bool) -> dict[str, Json]:
    """The JSON of a span, with what is derived of it."""
    facts = dict(span_fields(message))
    if not with_contents:
        for name in _CONTENTS:
            facts.pop(name, None)
    if message.HasField("ended_at"):
        nanoseconds = message.ended_at.ToNanoseconds() - message.started_at.ToNanoseconds()
        facts["duration_ms"] = max(0, nanoseconds) / 1e6
    if message.HasField("input_tokens") or message.HasField("output_tokens"):
        facts["total_tokens"] = message.input_tokens + message.output_tokens
    return facts


class Value(NamedTuple):
    """Where a span has a value, and what answers call it."""

    holder: str
    key: str
    name: str

    def of(self, facts: Facts) -> Json:
        where: Any = facts.get(self.holder, {}) if self.holder else facts
        return where.get(self.key)


def value_at(path: str, given: Json) -> Value:
    """The value that a request names. INVALID_ARGUMENT names the path."""
    ref = an_object(path, given)
    key, source = ref.get("key"), ref.get("source", "field")
    if not isinstance(key, str) or not key:
        raise invalid_field(f"{path}.key", "is required")
    alias = ref.get("alias")
    name = alias if isinstance(alias, str) and alias else key
    if source in _CUSTOM:
        return Value(str(source), key, name)
    if source not in ("field", "column", "derived"):
        raise invalid_field(f"{path}.source", "must be field, derived or custom_attrs_*")
    plain = key.replace(".", "_").removeprefix("gen_ai_").removeprefix("usage_")
    plain = _OTHER_NAMES.get(plain, plain)
    if plain not in _VALUES and plain not in _DERIVED:
        raise invalid_field(f"{path}.key", f"{key[:100]!r} is no field of a span with one value")
    return Value("", plain, name)


def an_object(path: str, given: Json) -> Given:
    """INVALID_ARGUMENT where it is none."""
    if not isinstance(given, dict):
        raise invalid_field(path, "must be an object")
    return given


class Measure(NamedTuple):
    """One sum over spans."""

    alias: str
    aggregation: str
    value: Value | None
    holds: Callable[[Facts], Any] | None

    def over(self, spans: Iterable[Facts]) -> Json:
        met = [facts for facts in spans if self.holds is None or self.holds(facts)]
        if self.value is None:
            return len(met)
        return summed(self.aggregation, [self.value.of(facts) for facts in met])


def measure_at(path: str, given: Json) -> Measure:
    """The measure that a request describes. INVALID_ARGUMENT names the path."""
    asked = an_object(path, given)
    alias, aggregation = asked.get("alias"), asked.get("aggregation")
    if not isinstance(alias, str) or not alias:
        raise invalid_field(f"{path}.alias", "is required")
    value = value_at(f"{path}.value", asked["value"]) if asked.get("value") else None
    holds = None
    if asked.get("filter"):
        try:
            holds = condition(an_object(f"{path}.filter", asked["filter"]))
        except SpanloomError as error:
            raise invalid_field(f"{path}.filter", error.violations[0].description) from None
    made = Measure(alias, aggregation_at(f"{path}.aggregation", aggregation), value, holds)
    if value is None and made.aggregation != "count":
        raise invalid_field(f"{path}.value", "is required")
    return made


def aggregation_at(path: str, given: Json) -> str:
    """The name of an aggregation. INVALID_ARGUMENT names the path."""
    if not isinstance(given, str) or given not in _SUMS:
        raise invalid_field(path, f"must be one of {', '.join(_SUMS)}")
    return given


def summed(aggregation: str, values: Iterable[Json]) -> Json:
    """An aggregation of those values that are there."""
    return _SUMS[aggregation]([value for value in values if value is not None])


def numbers(values: Iterable[Json]) -> list[float]:
    """The values that are numbers."""
    return [float(value) for value in values if is_number(value)]


def is_number(value: Json) -> bool:
    return type(value) in (int, float)


def percentile(ordered: Sequence[float], percent: float) -> float | None:
    """Of numbers in ascending order, between two of them in proportion."""
    if not ordered:
        return None
    at = (len(ordered) - 1) * percent / 100
    low, high = ordered[math.floor(at)], ordered[math.ceil(at)]
    return low + (high - low) * (at - math.floor(at))


def _average(values: Sequence[Json]) -> float | None:
    found = numbers(values)
    return math.fsum(found) / len(found) if found else None


def comparable(value: Json) -> tuple[int, float | str]:
    """What values are compared by: times by themselves, numbers before texts."""
    if isinstance(value, str):
        try:
            return 0, datetime.fromisoformat(value).timestamp()
        except (ValueError, OverflowError):
            return 1, value
    return (0, float(value)) if isinstance(value, (int, float)) else (2, "")


_SUMS: Final[dict[str, Callable[[Sequence[Json]], Json]]] = {
    "sum": lambda values: math.fsum(numbers(values)),
    "avg": _average,
    "min": lambda values: min(values, key=comparable, default=None),
    "max": lambda values: max(values, key=comparable, default=None),
    "count": len,
    "count_distinct": lambda values: len({comparable(value) for value in values}),
    "count_true": lambda values: sum(1 for value in values if value is True),
    "count_false": lambda values: sum(1 for value in values if value is False),
}
