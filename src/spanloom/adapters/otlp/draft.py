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


def _rank(offer: tuple[tuple[Any, ...], Any]) -> int:
    rank: int = offer[0][0]
    return rank


_register()
_STARTS: Final = tuple(prefix for prefix, _ in _PREFIXES)
