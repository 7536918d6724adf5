"""What all conventions together make of a span: one draft of the canonical fields.

Of each canonical field the first offer that is not null is taken, in the order of `CONVENTIONS`:
weave.* takes precedence, then come OpenTelemetry's own conventions, the current before the older,
then the vendors', the more specific before the general ones. The functions of conventions run in
that order too, and each may correct what an earlier convention offered: see
`spanloom.adapters.otlp.convention`.

Each attribute is looked up once; a convention costs nothing on spans that have none of its keys.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from spanloom.adapters.otlp.attributes import plain_value, value_json
from spanloom.adapters.otlp.convention import Convention, Draft, Offers, SpanSource
from spanloom.adapters.otlp.conventions import (
    autogen,
    basalt,
    google_adk,
    honeyhive,
    koog,
    langfuse,
    langsmith,
    llamaindex,
    logfire,
    mlflow,
    openinference,
    otel_events,
    otel_genai,
    traceloop,
    vercel_ai,
    weave,
)
from spanloom.genai.reading import Reader
from spanloom.model import Json

CONVENTIONS: Final[tuple[Convention, ...]] = (
    weave.CONVENTION,
    otel_genai.CONVENTION,
    otel_genai.OLDER,
    otel_events.CONVENTION,
    honeyhive.CONVENTION,
    basalt.CONVENTION,
    logfire.CONVENTION,
    google_adk.CONVENTION,
    vercel_ai.CONVENTION,
    langfuse.CONVENTION,
    langsmith.CONVENTION,
    mlflow.CONVENTION,
    openinference.CONVENTION,
    traceloop.CONVENTION,
    autogen.CONVENTION,
    llamaindex.CONVENTION,
    koog.CONVENTION,
    otel_genai.CONVERSATION,
)


# (rank, canonical field, reader): a line of a table; the lower rank comes first.
_Ranked = tuple[int, str, Reader]
# (rank, function) of a convention.
_Own = tuple[int, Callable[[SpanSource, dict[str, Json], Draft], Offers]]
_NO_OWNERS: Final[tuple[_Own, ...]] = ()


class _Route(NamedTuple):
    """What an attribute key leads to: lines of tables, and conventions that are given it."""

    rules: tuple[_Ranked, ...] = ()
    owners: tuple[_Own, ...] = ()


# Keys repeat from span to span, so the route of each is kept. Clients choose the keys: when full,
# it is emptied.
_MOST_ROUTES: Final = 20_000
_RULES: Final[dict[str, list[_Ranked]]] = {}
_PREFIXES: Final[list[tuple[str, _Own]]] = []
_SCOPES: Final[dict[str, list[_Own]]] = {}
_EVENTS: Final[list[tuple[str, _Own]]] = []
_routes: dict[str, _Route] = {}


def _register() -> None:
    rank = 0
    for convention in CONVENTIONS:
        for key, field, reader in convention.rules:
            _RULES.setdefault(key, []).append((rank, field, reader))
            rank += 1
        if convention.read is not None:
            own = rank, convention.read
            rank += 1
            _PREFIXES.extend((prefix, own) for prefix in convention.prefixes)
            _EVENTS.extend((prefix, own) for prefix in convention.events)
            for scope in convention.scopes:
                _SCOPES.setdefault(scope, []).append(own)


def _route(key: str) -> _Route:
    owners = (
        {own for prefix, own in _PREFIXES if key.startswith(prefix)}
        if key.startswith(_STARTS)
        else ()
    )
    route = _Route(tuple(_RULES.get(key, ())), tuple(owners))
    if len(_routes) >= _MOST_ROUTES:
        _routes.clear()
    _routes[key] = route
    return route


def draft_of(source: SpanSource) -> Draft:
    """The canonical fields of a span (`spanloom.adapters.otlp.convention`)."""
    offers: dict[str, tuple[_Ranked, Json]] = {}
    contested: list[tuple[_Ranked, Json]] = []
    owned: dict[_Own, dict[str, Json]] = {}
    routes = _routes
    for key, value in source.attributes.items():
        rules, owners = routes.get(key) or _route(key)
        for rule in rules:
            field = rule[1]
            if field in offers:
                contested.append((rule, value))
            else:
                offers[field] = rule, value
        if owners:
            for own in owners:
                owned.setdefault(own, {})[key] = value
    for own in _SCOPES.get(source.scope, _NO_OWNERS):
        owned.setdefault(own, {})
    if source.events:
        for prefix, own in _EVENTS:
            if any(name.startswith(prefix) for name, _ in source.events):
                owned.setdefault(own, {})
    draft: Draft = {}
    if not contested and not owned:
        for field, (rule, value) in offers.items():
            if (offer := rule[2](value)) is not None:
                draft[field] = offer
        return draft
    ranked: list[tuple[tuple[Any, ...], Any]] = [*offers.values(), *contested]
    ranked += [((rank, "", own), found) for (rank, own), found in owned.items()]
    ranked.sort(key=_rank)
    for (_, field, reader), value in ranked:
        if not field:
            for name, offer in reader(source, value, draft).items():
                if offer is not None:
                    draft.setdefault(name, offer)
        elif field not in draft and (offer := reader(value)) is not None:
            draft[field] = offer
    return draft


# The fields of which columns, the row of the trace and the choice for evaluation are made.
_OF_COLUMNS: Final = frozenset(
    {
        *("operation", "kind", "name", "agent_name", "agent_version", "provider"),
        *("model", "response_model", "input_tokens", "output_tokens"),
        *("cache_read_tokens", "cache_creation_tokens", "cost", "input_cost", "output_cost"),
        *("session_id", "event_id", "duration_ms", "error", "log_type"),
        *("feature_slug", "sample_rate", "sampled", "user", "user_id", "organization"),
        *("experiment", "evaluators", "evaluation_config"),
    }
)
# A span that says no operation is of another one where it has one of these.
_TELLING: Final = frozenset(
    {"input_messages", "output_messages", "prompt", "completion", "tool_name"}
)


class _Brief(NamedTuple):
    """What an attribute key is for columns: lines of tables; whether a convention wants it, or it
    tells of the operation."""

    rules: tuple[_Ranked, ...]
    is_owned: bool
    tells: bool


_brief_routes: dict[str, _Brief] = {}


def _brief_route(key: str) -> _Brief:
    rules, owners = _routes.get(key) or _route(key)
    brief = _Brief(
        tuple(rule for rule in rules if rule[1] in _OF_COLUMNS),
        # An empty key may be an index into a table of strings.
        bool(owners) or not key,
        any(rule[1] in _TELLING for rule in rules),
    )
    if len(_brief_routes) >= _MOST_ROUTES:
        _brief_routes.clear()
    _brief_routes[key] = brief
    return brief


def brief_draft_of(span: trace_pb2.Span, scope: str) -> Draft | None:
    """Of the canonical fields of a span those that columns need, from its attributes alone; None
    where only `draft_of` can tell them."""
    if scope in _SCOPES:
        return None
    for event in span.events:
        if event.name.startswith(_EVENT_STARTS):
            return None
    offers: dict[str, tuple[_Ranked, Any]] = {}
    contested: list[tuple[_Ranked, Any]] = []
    routes = _brief_routes
    keys = []
    tells = False
    for pair in span.attributes:
        key = pair.key
        keys.append(key)
        rules, is_owned, telling = routes.get(key) or _brief_route(key)
        if is_owned:
            return None
        tells = tells or telling
        for rule in rules:
            if rule[1] in offers:
                contested.append((rule, pair))
            else:
                offers[rule[1]] = rule, pair
    if len(set(keys)) < len(keys):
        return None
    draft: Draft = {}
    ranked: Any = offers.values()
    if contested:
        ranked = sorted([*ranked, *contested], key=_rank)
    for (_, field, reader), pair in ranked:
        if field not in draft and (offer := reader(_plain(pair))) is not None:
            draft[field] = offer
    operation = draft.get("operation")
    return None if operation == "chain" or (tells and not operation) else draft


def _plain(pair: KeyValue) -> Json:
    value = pair.value
    return value.string_value or value.int_value or plain_value(value_json(value))


def _rank(offer: tuple[tuple[Any, ...], Any]) -> int:
    rank: int = offer[0][0]
    return rank


_register()
_EVENT_STARTS: Final = tuple(prefix for prefix, _ in _EVENTS)
_STARTS: Final = tuple(prefix for prefix, _ in _PREFIXES)
