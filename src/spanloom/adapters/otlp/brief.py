"""What columns need of a span, from its attributes: the fields of `COLUMNS`, without the messages
and whatever else is read when somebody looks at the span.

Rules and conventions are those of `spanloom.adapters.otlp.draft`. Readers of other fields run only
when a convention, or the search for the operation, asks whether the field is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from spanloom.adapters.otlp.attributes import plain_value, value_json
from spanloom.adapters.otlp.convention import COLUMNS, Draft, SpanSource
from spanloom.adapters.otlp.draft import (
    OWNERS,
    Ranked,
    owners_of,
    rank_of,
    route_of,
)
from spanloom.genai.reading import Reader
from spanloom.model import Json
from spanloom.model.span import EVERY_KEY, SHOWN_KEYS


class WholeNeededError(Exception):
    """Only the whole read can tell what was asked."""


class LazyAttributes(Mapping[str, Json]):
    """Attributes of which each value is read when it is asked for. No key may be there twice."""

    __slots__ = ("_at", "_pairs")

    def __init__(self, at: Mapping[str, int], pairs: Sequence[KeyValue]) -> None:
        """`at` has the positions of the keys in `pairs`."""
        self._at, self._pairs = at, pairs

    def __getitem__(self, key: str) -> Json:
        return _plain(self._pairs[self._at[key]])

    def get(self, key: str, default: Any = None) -> Any:
        """As of a dict."""
        at = self._at.get(key)
        return default if at is None else _plain(self._pairs[at])

    def __contains__(self, key: object) -> bool:
        return key in self._at

    def __iter__(self) -> Iterator[str]:
        return iter(self._at)

    def __len__(self) -> int:
        return len(self._at)


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


class Plan(NamedTuple):
    """What the keys of a span's attributes lead to, by the positions of the attributes."""

    at: dict[str, int]
    is_readable: bool  # without the whole: no key is there twice, and none may be an index
    # The first line of a table for each column: where to read it, its name, and its reader.
    columns: tuple[tuple[int, str, Reader], ...]
    offers: tuple[tuple[int, Ranked], ...]  # all lines of tables
    owners: frozenset[int]  # the conventions that want an attribute
    is_contested: bool  # several lines may tell a column
    has_objects: bool  # conventions may make a `config` or `metadata` of the attributes


# Spans of one instrumentation have the same keys in the same order, so a plan is kept for each
# sequence of keys. Clients choose the keys: plans of many characters are not kept, and when there
# are too many, all are dropped.
_MOST_PLANS: Final = 2_000
_MOST_CHARACTERS: Final = 2_000
_plans: dict[tuple[str, ...], Plan] = {}
# What the keys have in them of which any convention makes a `config` or `metadata`.
_OBJECTS: Final = ("honeyhive_config", "meta", "properties")
_KEYS_OF_METADATA: Final = tuple(key.encode() for head, key in SHOWN_KEYS if head == "metadata")
# Below so many brackets nothing in a message nests too deep for JSON that is stored.
_MOST_NESTED: Final = 200


def plan_of(pairs: Iterable[KeyValue]) -> Plan:
    """The plan for a span with these attributes."""
    keys = tuple([pair.key for pair in pairs])
    return _plans.get(keys) or _plan(keys)


def _plan(keys: tuple[str, ...]) -> Plan:
    columns: dict[str, tuple[int, Ranked]] = {}
    others: list[tuple[int, Ranked]] = []
    wanted_by: set[int] = set()
    is_contested = False
    for position, key in enumerate(keys):
        rules, owners = route_of(key)
        wanted_by.update(owners)
        for rule in rules:
            if rule[1] not in COLUMNS:
                others.append((position, rule))
            elif rule[1] in columns:
                is_contested = True
                others.append((position, rule))
            else:
                columns[rule[1]] = position, rule
    at = {key: position for position, key in enumerate(keys)}
    plan = Plan(
        at,
        # An empty key may be an index into a table of strings.
        len(at) == len(keys) and "" not in at,
        tuple((position, field, reader) for position, (_, field, reader) in columns.values()),
        (*columns.values(), *others),
        frozenset(wanted_by),
        is_contested,
        any(word in key for word in _OBJECTS for key in keys),
    )
    if len(keys) + sum(map(len, keys)) <= _MOST_CHARACTERS:
        if len(_plans) >= _MOST_PLANS:
            _plans.clear()
        _plans[keys] = plan
    return plan


def may_nest_deeply(message: bytes) -> bool:
    """Whether a value in a span's bytes could nest too deep for JSON that is stored."""
    # `bytes.count` looks at each byte, where `replace` leaps from one bracket to the next.
    left = len(message.replace(b"[", b"")) + len(message.replace(b"{", b""))
    return 2 * len(message) - left > _MOST_NESTED


def apart_of(message: bytes) -> int:
    """The bits of `Sent.apart` of a span with objects, from the last keys of their values."""
    is_told = b"honeyhive_config" in message or any(key in message for key in _KEYS_OF_METADATA)
    return EVERY_KEY if is_told else 0


def brief_draft_of(
    span: trace_pb2.Span,
    pairs: Sequence[KeyValue],
    plan: Plan,
    scope: str,
    *,
    failed: bool,
    is_root: bool,
) -> tuple[SpanSource, Draft]:
    """What conventions read of a span, and the fields of it that columns need.

    Args:
        pairs: Its attributes.
        plan: That of its attributes.

    Raises:
        WholeNeededError: Only `draft_of` can tell them.
    """
    if not plan.is_readable:
        raise WholeNeededError
    events = (
        [(event.name, _attributes(event.attributes)) for event in span.events]
        if span.events
        else ()
    )
    source = SpanSource(span.name, scope, LazyAttributes(plan.at, pairs), events, failed, is_root)
    by_source = owners_of(source)
    if not (plan.owners or by_source or plan.is_contested):
        draft = {}
        for position, field, reader in plan.columns:
            value = pairs[position].value
            # As `_plain`, of which the calls would take as long as all else here.
            told = value.string_value or value.int_value or plain_value(value_json(value))
            if (found := reader(told)) is not None:
                draft[field] = found
        # Where the operation is said, nobody asks for fields that are no columns.
        if draft.get("operation", "chain") != "chain":
            return source, draft
    offers: list[Any] = [(rule, pairs[position]) for position, rule in plan.offers]
    offers += [((rank, "", None), None) for rank in plan.owners.union(by_source)]
    offers.sort(key=rank_of)
    return source, _taken(source, offers)


def _attributes(pairs: Iterable[KeyValue]) -> LazyAttributes:
    """Attributes of an event; of a key that is there twice, the last counts."""
    listed = [*pairs]
    return LazyAttributes({pair.key: position for position, pair in enumerate(listed)}, listed)


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
