"""Spans of agents in groups, as Weave's API has them."""

from __future__ import annotations

import math
import operator
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from spanloom.adapters.weave.measures import (
    Facts,
    Measure,
    Value,
    an_object,
    comparable,
    is_number,
    measure_at,
    numbers,
    value_at,
)
from spanloom.errors import invalid_field
from spanloom.model import Feedback, Json

Key = tuple[Json, ...]

_CONVERSATION: Final = {"key": "conversation_id"}
_BINS, _MOST_BINS = 10, 1_000
_TOP = 10
_MESSAGE_LENGTH: Final = 200
# Lists of the different values in a group, and sums of numbers: the field that answers have, and
# that of a span.
_LISTS: Final = {
    "agent_names": "agent_name",
    "agent_versions": "agent_version",
    "conversation_names": "conversation_name",
    "provider_names": "provider_name",
    "request_models": "request_model",
}
_TOTALS: Final = {
    f"total_{name}": name
    for name in (
        *("input_tokens", "output_tokens", "reasoning_tokens"),
        *("cache_read_input_tokens", "cache_creation_input_tokens", "duration_ms"),
    )
}
_COSTS: Final = {
    "total_cost_usd": "total_cost_usd",
    "total_input_cost_usd": "input_cost_usd",
    "total_output_cost_usd": "output_cost_usd",
}


class Distribution(NamedTuple):
    """How often a group has each value of a custom attribute."""

    alias: str
    value: Value
    bins: int
    top: int


class Limits(NamedTuple):
    """A condition on groups: which spans make a group, and the bounds of its measure."""

    by: Sequence[Value]
    measure: Measure
    least: Json
    most: Json

    def holds(self, spans: Sequence[Facts]) -> bool:
        value = self.measure.over(spans)
        if value is None:
            return self.least is None and self.most is None
        return (self.least is None or comparable(value) >= comparable(self.least)) and (
            self.most is None or comparable(value) <= comparable(self.most)
        )


def values_at(path: str, given: Iterable[Json]) -> list[Value]:
    """The values by which spans are grouped. INVALID_ARGUMENT names the path."""
    return [value_at(f"{path}[{n}]", one) for n, one in enumerate(given)]


def limits_at(path: str, given: Iterable[Json], by: Sequence[Value]) -> list[Limits]:
    """The conditions on groups. INVALID_ARGUMENT names the path."""
    found = []
    for n, one in enumerate(given):
        asked = an_object(f"{path}[{n}]", one)
        own = values_at(f"{path}[{n}].group_by", _list(asked.get("group_by")))
        groups = own or by or [value_at(path, _CONVERSATION)]
        measure = measure_at(f"{path}[{n}].measure", asked.get("measure"))
        found.append(Limits(groups, measure, asked.get("min"), asked.get("max")))
    return found


def distributions_at(path: str, given: Iterable[Json]) -> list[Distribution]:
    """The distributions that are asked for. INVALID_ARGUMENT names the path."""
    found = []
    for n, one in enumerate(given):
        asked = an_object(f"{path}[{n}]", one)
        value = value_at(f"{path}[{n}].value", asked.get("value"))
        if not value.holder:
            raise invalid_field(f"{path}[{n}].value.source", "must be custom_attrs_*")
        alias = asked.get("alias")
        if not isinstance(alias, str) or not alias:
            raise invalid_field(f"{path}[{n}].alias", "is required")
        sizes = (
            whole_at(f"{path}[{n}].{name}", asked.get(name), default)
            for name, default in (("bins", _BINS), ("top_n", _TOP))
        )
        found.append(Distribution(alias, value, *sizes))
    return found


def whole_at(path: str, given: Json, default: int) -> int:
    """A number of bins or values. INVALID_ARGUMENT names the path."""
    if given is None:
        return default
    if not is_number(given) or given != int(given) or not 1 <= given <= _MOST_BINS:
        raise invalid_field(path, f"must be a whole number from 1 to {_MOST_BINS}")
    return int(given)


def grouped(spans: Iterable[Facts], by: Sequence[Value]) -> dict[Key, list[Facts]]:
    """Spans by the values by which they are grouped, in their order."""
    groups: defaultdict[Key, list[Facts]] = defaultdict(list)
    for facts in spans:
        groups[tuple(value.of(facts) for value in by)].append(facts)
    return dict(groups)


def within(spans: list[Facts], limits: Iterable[Limits]) -> list[Facts]:
    """The spans whose groups meet all conditions."""
    for limit in limits:
        groups = grouped(spans, limit.by).values()
        spans = [facts for group in groups if limit.holds(group) for facts in group]
    return spans


def group_row(
    key: Key,
    by: Sequence[Value],
    spans: Sequence[Facts],
    measures: Iterable[Measure],
    distributions: Iterable[Distribution],
    *,
    with_messages: bool,
) -> dict[str, Json]:
    """The fields of a group in an answer."""
    times = sorted(str(facts["started_at"]) for facts in spans)
    of = {name: [facts.get(field) for facts in spans] for name, field in _LISTS.items()}
    totals = {
        name: round(math.fsum(numbers(facts.get(field) for facts in spans)))
        for name, field in _TOTALS.items()
    }
    costs = {name: numbers(facts.get(field) for facts in spans) for name, field in _COSTS.items()}
    operations = Counter(facts.get("operation_name") for facts in spans)
    first, last = _messages(spans) if with_messages else (None, None)
    return {
        "group_keys": {value.name: each for value, each in zip(by, key, strict=True)},
        "span_count": len(spans),
        "invocation_count": operations["invoke_agent"],
        "conversation_count": len({facts.get("conversation_id") for facts in spans} - {None}),
        "error_count": sum(1 for facts in spans if facts.get("status_code") == "ERROR"),
        "first_seen": times[0],
        "last_seen": times[-1],
        "first_message": first,
        "last_message": last,
        **{name: sorted({each for each in values if each}) for name, values in of.items()},
        **totals,
        **{name: math.fsum(values) if values else None for name, values in costs.items()},
        "metrics": {measure.alias: measure.over(spans) for measure in measures},
        "distributions": {one.alias: _distribution(one, spans) for one in distributions},
    }


def signals(path: str, given: Mapping[str, Json]) -> Callable[[Feedback], bool]:
    """Whether a feedback of a scorer has one of the tags and all of the ratings that are asked for.
    INVALID_ARGUMENT names the path."""
    tags = set(map(str, _list(given.get("tags"))))
    ratings = []
    for n, one in enumerate(_list(given.get("ratings"))):
        asked = an_object(f"{path}.ratings[{n}]", one)
        compare = _COMPARED.get(str(asked.get("op")))
        value: Any = asked.get("value")
        if compare is None or not is_number(value) or not isinstance(asked.get("scorer_key"), str):
            raise invalid_field(f"{path}.ratings[{n}]", "must have scorer_key, op and value")
        ratings.append((str(asked["scorer_key"]), compare, float(value)))

    def holds(feedback: Feedback) -> bool:
        told = feedback.body.get("scorer_ratings", {})
        return (not tags or not tags.isdisjoint(feedback.body.get("scorer_tags", ()))) and all(
            name in told and compare(told[name], value) for name, compare, value in ratings
        )

    return holds


_COMPARED: Final[dict[str, Callable[[float, float], bool]]] = {
    "gte": operator.ge,
    "gt": operator.gt,
    "lte": operator.le,
    "lt": operator.lt,
    "eq": operator.eq,
}


def sorted_rows(rows: list[dict[str, Json]], sort_by: Iterable[Any]) -> list[dict[str, Json]]:
    """Rows of groups by fields, metrics or keys of groups; by the number of spans, the most first,
    where nothing is asked for."""
    orders = list(sort_by)
    if not orders:
        return sorted(rows, key=lambda row: -row["span_count"])
    for order in reversed(orders):

        def rank(row: dict[str, Json], name: str = order.field) -> Any:
            for place in (row, row["metrics"], row["group_keys"]):
                if name in place:
                    return comparable(place[name])
            raise invalid_field("sort_by", f"{name[:100]!r} is no field of the groups")

        rows = sorted(rows, key=rank, reverse=order.direction == "desc")
    return rows


def _messages(spans: Sequence[Facts]) -> tuple[Json, Json]:
    """The first words of users, and the last of models."""
    ordered = sorted(spans, key=lambda facts: comparable(facts["started_at"]))
    asked = (
        message.get("content")
        for facts in ordered
        for message in _list(facts.get("input_messages"))
        if message.get("role") == "user"
    )
    answered = (
        message.get("content")
        for facts in reversed(ordered)
        for message in reversed(_list(facts.get("output_messages")))
    )
    return _message("user_message", asked), _message("assistant_message", answered)


def _message(role: str, texts: Iterable[Json]) -> Json:
    text = next((str(text) for text in texts if text), "")
    return {"role": role, "text": text.strip()[:_MESSAGE_LENGTH]} if text else None


def _distribution(one: Distribution, spans: Sequence[Facts]) -> dict[str, Json]:
    values = [each for facts in spans if (each := one.value.of(facts)) is not None]
    kind = one.value.holder.removeprefix("custom_attrs_")
    told: dict[str, Json] = {
        "alias": one.alias,
        "key": one.value.key,
        "source": one.value.holder,
        "value_type": kind,
        "total_count": len(spans),
        "present_count": len(values),
        "missing_count": len(spans) - len(values),
        "other_count": 0,
        "bins": [],
        "values": [],
    }
    if kind in ("int", "float"):
        told["bins"] = [
            {"index": index, "min": low, "max": high, "count": len(each)}
            for index, (low, high, each) in enumerate(
                binned([(number, number) for number in numbers(values)], one.bins)
            )
        ]
        return told
    texts = (str(each).lower() if isinstance(each, bool) else str(each) for each in values)
    counts = sorted(Counter(texts).items(), key=lambda pair: (-pair[1], pair[0]))
    told["values"] = [{"value": text, "count": number} for text, number in counts[: one.top]]
    told["other_count"] = sum(number for _, number in counts[one.top :])
    return told


def binned(
    pairs: Sequence[tuple[float, Any]],
    bins: int,
    least: float | None = None,
    most: float | None = None,
) -> list[tuple[float, float, list[Any]]]:
    """Things by their numbers, in ranges of one length: (from, to, things); the last range has its
    end, too. What is outside of the bounds is left out."""
    known = [number for number, _ in pairs]
    if not known and (least is None or most is None):
        return []
    low = min(known) if least is None else least
    high = max(known) if most is None else most
    if low >= high:
        bins = 1
    width = (high - low) / bins
    found: list[tuple[float, float, list[Any]]] = [
        (low + n * width, high if n == bins - 1 else low + (n + 1) * width, []) for n in range(bins)
    ]
    for number, thing in pairs:
        if low <= number <= high:
            at = min(bins - 1, int((number - low) / width)) if width else 0
            found[at][2].append(thing)
    return found


def _list(value: Json) -> list[Any]:
    return value if isinstance(value, list) else []
