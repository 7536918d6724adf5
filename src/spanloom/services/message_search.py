"""The search of messages: spans that may match from the store, newest first, and the exact look at what they say."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from functools import partial

from spanloom.chat.spoken import spoken
from spanloom.codec.offload import run_in_thread_if_large
from spanloom.model import Match, Span, SpokenQuery
from spanloom.store.store import Store

_BATCH = 200


async def matches(
    store: Store, project: str, query: SpokenQuery, roles: Collection[str], most: int
) -> list[Match]:
    """At most so many messages of these roles that hold the query's text, newest first; each text once a trace and role."""
    found: list[Match] = []
    seen: set[tuple[str, str, str]] = set()
    after: tuple[int, str, str] | None = None
    while len(found) < most:
        spans = await store.agents.speaking_spans(project, query, limit=_BATCH, after=after)
        for match in await run_in_thread_if_large(
            len(spans), partial(_in, spans, query.text, roles)
        ):
            key = (match.span.trace_id, match.role, match.digest)
            if key not in seen:
                seen.add(key)
                found.append(match)
        if len(spans) < _BATCH:
            break
        after = (spans[-1].start_ns, spans[-1].trace_id, spans[-1].span_id)
    return found[:most]


def _in(spans: Sequence[Span], text: str, roles: Collection[str]) -> list[Match]:
    return [
        Match(span, said.role, said.text, _digest(said.text))
        for span in spans
        for said in spoken(span)
        if said.role in roles and text in said.text
    ]


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
