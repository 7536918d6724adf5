"""What all conventions together make of a span: one draft of the canonical fields.

Of each canonical field the first offer that is not null is taken, in the order of `CONVENTIONS`:
weave.* takes precedence, then come OpenTelemetry's own conventions, the current before the older,
then the vendors', the more specific before the general ones. The functions of conventions run in
that order too, and each may correct what an earlier convention offered: see
`spanloom.adapters.otlp.convention`.

Each attribute is looked up once; a convention costs nothing on spans that have none of its keys.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from spanloom.adapters.otlp.convention import Convention, Draft, SpanSource
from spanloom.adapters.otlp.conventions import (
    agentops,
    autogen,
    basalt,
    braintrust,
    coding_agents,
    gemini_cli,
    genkit,
    google_adk,
    haystack,
    honeyhive,
    koog,
    laminar,
    langfuse,
    langsmith,
    litellm,
    livekit,
    llamaindex,
    logfire,
    mcp,
    mlflow,
    names,
    openinference,
    otel_events,
    otel_genai,
    pipecat,
    sentry,
    spring_ai,
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
    coding_agents.CONVENTION,
    gemini_cli.CONVENTION,
    vercel_ai.CONVENTION,
    langfuse.CONVENTION,
    langsmith.CONVENTION,
    mlflow.CONVENTION,
    braintrust.CONVENTION,
    laminar.CONVENTION,
    agentops.CONVENTION,
    sentry.CONVENTION,
    litellm.CONVENTION,
    genkit.CONVENTION,
    haystack.CONVENTION,
    pipecat.CONVENTION,
    livekit.CONVENTION,
    spring_ai.CONVENTION,
    mcp.CONVENTION,
    openinference.CONVENTION,
    traceloop.CONVENTION,
    autogen.CONVENTION,
    llamaindex.CONVENTION,
    koog.CONVENTION,
    names.CONVENTION,
    otel_genai.CONVERSATION,
)


# (rank, canonical field, reader): a line of a table; the lower rank comes first.
Ranked = tuple[int, str, Reader]
_NO_OWNERS: Final[tuple[int, ...]] = ()


class _Route(NamedTuple):
    """What an attribute key leads to: lines of tables, and the conventions that want it."""

    rules: tuple[Ranked, ...] = ()
    owners: tuple[int, ...] = ()


# The conventions with functions, by the rank of these among the lines of tables.
OWNERS: Final[dict[int, Convention]] = {}
# Keys repeat from span to span, so the route of each is kept. Clients choose the keys: when full,
# it is emptied.
_MOST_ROUTES: Final = 20_000
_RULES: Final[dict[str, list[Ranked]]] = {}
_PREFIXES: Final[list[tuple[str, int]]] = []
_SCOPES: Final[dict[str, list[int]]] = {}
_EVENTS: Final[list[tuple[str, int]]] = []
_routes: dict[str, _Route] = {}


def _register() -> None:
    rank = 0
    for convention in CONVENTIONS:
        for key, field, reader in convention.rules:
            _RULES.setdefault(key, []).append((rank, field, reader))
            rank += 1
        OWNERS[rank] = convention
        _PREFIXES.extend((prefix, rank) for prefix in convention.prefixes)
        _EVENTS.extend((prefix, rank) for prefix in convention.events)
        for scope in convention.scopes:
            _SCOPES.setdefault(scope, []).append(rank)
        rank += 1


def route_of(key: str) -> _Route:
    """What an attribute key leads to."""
    return _routes.get(key) or _route(key)


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


def owners_of(source: SpanSource) -> Iterable[int]:
    """The conventions that want a span for its scope or its events."""
    found = _SCOPES.get(source.scope, _NO_OWNERS)
    if not source.events:
        return found
    names = [name for name, _ in source.events]
    return [*found, *(own for prefix, own in _EVENTS if any(n.startswith(prefix) for n in names))]


def draft_of(source: SpanSource) -> Draft:
    """The canonical fields of a span (`spanloom.adapters.otlp.convention`)."""
    offers: dict[str, tuple[Ranked, Json]] = {}
    contested: list[tuple[Ranked, Json]] = []
    owned: dict[int, dict[str, Json]] = {}
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
    for own in owners_of(source):
        owned.setdefault(own, {})
    draft: Draft = {}
    if not contested and not owned:
        for field, (rule, value) in offers.items():
            if (offer := rule[2](value)) is not None:
                draft[field] = offer
        return draft
    ranked: list[tuple[tuple[Any, ...], Any]] = [*offers.values(), *contested]
    ranked += [((rank, "", None), found) for rank, found in owned.items()]
    ranked.sort(key=rank_of)
    for (rank, field, reader), value in ranked:
        if not field:
            for name, offer in _offers(OWNERS[rank], source, value, draft):
                if offer is not None:
                    draft.setdefault(name, offer)
        elif field not in draft and (offer := reader(value)) is not None:
            draft[field] = offer
    return draft


def _offers(
    convention: Convention, source: SpanSource, found: Mapping[str, Json], draft: Draft
) -> list[tuple[str, Json]]:
    """What the functions of a convention offer, all that its columns need first."""
    offers: list[tuple[str, Json]] = []
    if convention.columns is not None:
        offers += convention.columns(source, draft).items()
    if convention.contents is not None:
        offers += convention.contents(source, found, draft).items()
    return offers


def rank_of(offer: tuple[tuple[Any, ...], Any]) -> int:
    """The place of an offer among others."""
    rank: int = offer[0][0]
    return rank


_register()
_STARTS: Final = tuple(prefix for prefix, _ in _PREFIXES)
