"""The search of messages: spans that may match, newest first, and an exact look at their texts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence
from functools import partial

from spanloom.chat.spoken import spoken
from spanloom.codec.offload import run_in_thread_if_large
from spanloom.model import Match, Span, SpokenQuery
from spanloom.store.spans import SpanStore

_BATCH = 200

# Makes what the search shows of a message: its span, its role, its text, the text's digest.
Show = Callable[[Span, str, str, str], Match]


async def matches(
    store: SpanStore,
    project: str,
    query: SpokenQuery,
    roles: Collection[str],
    show: Show,
    *,
    offset: int,
    limit: int,
) -> list[Match]:
    """One page of the messages of these roles that have the query's text, newest first.

    Each text is found once for each trace and role. Of what precedes the page only
    digests are kept.
    """
    page = _Page(query.text, roles, show, offset, limit)
    after: tuple[int, str, str] | None = None
    while not page.is_full:
        spans = await store.speaking_spans(project, query, limit=_BATCH, after=after)
        await run_in_thread_if_large(len(spans), partial(page.take, spans))
        if len(spans) < _BATCH:
            break
        after = (spans[-1].start_ns, spans[-1].trace_id, spans[-1].span_id)
    return page.found


class _Page:
    """The page as it is filled, batch by batch."""

    def __init__(
        self, text: str, roles: Collection[str], show: Show, offset: int, limit: int
    ) -> None:
        self._text = text
        self._roles = roles
        self._show = show
        self._offset = offset
        self._limit = limit
        self._seen: set[tuple[str, str, str]] = set()
        self.found: list[Match] = []

    @property
    def is_full(self) -> bool:
        return len(self.found) >= self._limit

    def take(self, spans: Sequence[Span]) -> None:
        """Go through spans until the page is full."""
        for span in spans:
            for role, text in spoken(span):
                if self.is_full:
                    return
                if role not in self._roles or self._text not in text:
                    continue
                digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
                key = (span.trace_id, role, digest)
                if key in self._seen:
                    continue
                self._seen.add(key)
                if len(self._seen) > self._offset:
                    self.found.append(self._show(span, role, text, digest))
