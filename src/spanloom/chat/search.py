"""One page of the messages that a search finds, filled from spans that may match."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Sequence

from spanloom.chat.spoken import spoken
from spanloom.model import Match, Span

# Makes what the search shows of a message: its span, its role, its text, the text's digest.
Show = Callable[[Span, str, str, str], Match]


class MatchPage:
    """One page of the messages that contain `text` and have one of the roles, each text once for
    each trace and role.

    Only digests are kept of the messages before the page.
    """

    def __init__(
        self, text: str, roles: Collection[str], show: Show, *, offset: int, limit: int
    ) -> None:
        self._text = text
        self._roles = roles
        self._show = show
        self._offset = offset
        self._limit = limit
        self._seen: set[tuple[str, str, str]] = set()
        self.matches: list[Match] = []

    @property
    def is_full(self) -> bool:
        return len(self.matches) >= self._limit

    def add(self, spans: Sequence[Span]) -> None:
        """Add the messages of these spans, until the page is full."""
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
                    self.matches.append(self._show(span, role, text, digest))
