"""What columns need of a span, from its attributes: the fields of `COLUMNS`, without the messages
and whatever else is read when somebody looks at the span.

Rules and conventions are those of `spanloom.adapters.otlp.draft`. Readers of other fields run only
when a convention, or the search for the operation, asks whether the field is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from spanloom.adapters.otlp.attributes import plain_value, value_json
from spanloom.adapters.otlp.convention import COLUMNS, Draft, SpanSource
from spanloom.adapters.otlp.draft import (
    MOST_ROUTES,
    OWNERS,
    Ranked,
    owners_of,
    rank_of,
    route_of,
)
from spanloom.genai.reading import Reader
from spanloom.model import Json


class WholeNeededError(Exception):
    """Only the whole read can tell what was asked."""


class LazyAttributes(Mapping[str, Json]):
    """Attributes of which each value is read when it is asked for. No key may be there twice."""

    __slots__ = ("pairs",)

    def __init__(self, pairs: dict[str, KeyValue]) -> None:
        self.pairs = pairs

    def __getitem__(self, key: str) -> Json:
        return _plain(self.pairs[key])

    def __contains__(self, key: object) -> bool:
        return key in self.pairs

    def __iter__(self) -> Iterator[str]:
        return iter(self.pairs)

    def __len__(self) -> int:
        return len(self.pairs)


# What may offer a field: a reader with an attribute, or a convention that was not asked.
_Offer = tuple[Reader, KeyValue] | None


class BriefDraft(dict[str, Any]):
    """A draft of columns. Its other fields are read when they are asked for, and asking for one
    that only the whole read can tell raises WholeNeededError."""

    __slots__ = ("_pending",)

    def __init__(self) -> None:
        self._pending: dict[str, list[_Offer]] = {}

    def offer(self, field: str, offer: _Offer) -> None:
        """Something that may offer a field that is not of `COLUMNS`, behind what came before."""
        self._pending.setdefault(field, []).append(offer)

    def __contains__(self, field: object) -> bool:
        return dict.__contains__(self, field) or (
            field in self._pending and self.get(str(field)) is not None
        )

    def __missing__(self, field: str) -> Any:
        if (value := self.get(field)) is None:
            raise KeyError(field)
        return value

    def get(self, field: str, default: Any = None) -> Any:
        """As of a dict."""
        if dict.__contains__(self, field) or field not in self._pending:
            return dict.get(self, field, default)
        for offer in self._pending.pop(field):
            if offer is None:
                raise WholeNeededError
            reader, pair = offer
            if (value := reader(_plain(pair))) is not None:
                self[field] = value
                return value
        return default


class _Route(NamedTuple):
    """What an attribute key leads to: lines of tables for columns, those for other fields, and the
    conventions that want it."""

    of_columns: tuple[Ranked, ...]
    others: tuple[Ranked, ...]
    owners: tuple[int, ...]


_routes: dict[str, _Route] = {}


def _route(key: str) -> _Route:
    rules, owners = route_of(key)
    route = _Route(
        tuple(rule for rule in rules if rule[1] in COLUMNS),
        tuple(rule for rule in rules if rule[1] not in COLUMNS),
        owners,
    )
    if len(_routes) >= MOST_ROUTES:
        _routes.clear()
    _routes[key] = route
    return route


def brief_draft_of(
    span: trace_pb2.Span, scope: str, *, failed: bool, is_root: bool
) -> tuple[SpanSource, Draft]:
    """What conventions read of a span, and the fields of it that columns need.

    Raises:
        WholeNeededError: Only `draft_of` can tell them.
    """
    pairs: dict[str, KeyValue] = {}
    first: dict[str, tuple[Ranked, KeyValue]] = {}
    more: list[tuple[Ranked, KeyValue]] = []
    is_contested = False
    wanted_by: set[int] = set()
    routes = _routes
    for pair in span.attributes:
        key = pair.key
        pairs[key] = pair
        of_columns, others, owners = routes.get(key) or _route(key)
        for rule in of_columns:
            if rule[1] in first:
                is_contested = True
                more.append((rule, pair))
            else:
                first[rule[1]] = rule, pair
        if others:
            more += [(rule, pair) for rule in others]
        if owners:
            wanted_by.update(owners)
    # An empty key may be an index into a table of strings.
    if len(pairs) < len(span.attributes) or "" in pairs:
        raise WholeNeededError
    events = [
        (event.name, LazyAttributes({pair.key: pair for pair in event.attributes}))
        for event in span.events
    ]
    source = SpanSource(span.name, scope, LazyAttributes(pairs), events, failed, is_root)
    wanted_by.update(owners_of(source))
    if not wanted_by and not is_contested:
        draft = {
            field: value
            for field, (rule, pair) in first.items()
            if (value := rule[2](_plain(pair))) is not None
        }
        # Where the operation is said, nobody asks for fields that are no columns.
        if draft.get("operation", "chain") != "chain":
            return source, draft
    offers: list[Any] = [*first.values(), *more]
    offers += [((rank, "", None), None) for rank in wanted_by]
    offers.sort(key=rank_of)
    return source, _taken(source, offers)


def _taken(source: SpanSource, offers: Iterable[tuple[Ranked, KeyValue]]) -> BriefDraft:
    """The draft of offers, the lower rank first."""
    draft = BriefDraft()
    for (rank, field, reader), pair in offers:
        if not field:
            convention = OWNERS[rank]
            if convention.columns is not None:
                for name, value in convention.columns(source, draft).items():
                    if value is not None and name not in draft:
                        draft[name] = value
            for name in convention.tells:
                draft.offer(name, None)
        elif field not in COLUMNS:
            draft.offer(field, (reader, pair))
        elif field not in draft and (value := reader(_plain(pair))) is not None:
            draft[field] = value
    return draft


def _plain(pair: KeyValue) -> Json:
    value = pair.value
    return value.string_value or value.int_value or plain_value(value_json(value))
