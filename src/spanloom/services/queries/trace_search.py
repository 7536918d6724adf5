"""Finds a text in the strings of a trace's spans."""

from __future__ import annotations

import time
from typing import Final

from spanloom.adapters.native.strings import strings
from spanloom.adapters.native.write import span_message
from spanloom.model import Span
from spanloom.model.summaries import SearchPlace
from spanloom.services.queries.bounded import MAX_RESPONSE_BYTES
from spanloom.services.queries.summaries import PREVIEW
from spanloom.v1 import query_pb2

_MOST_OFFSETS: Final = 100
# So much of a preview is before the match.
_BEFORE: Final = 60
# Ids are no contents.
_IDS: Final = frozenset(
    {"trace_id", "span_id", "parent_span_id", "conversation_id", "event_id", "experiment_id"}
)
_LONGEST_PATH: Final = 10_000


class TraceSearch:
    """One page of a search. `visit` is called with each span, in the order of the outline.

    Attributes:
        matches: What was found.
        searched: The number of spans that were searched.
        after: Where to continue, None at the end: the place of a span, and how many of its matches
            the pages before had.
    """

    def __init__(
        self, text: str, *, match_case: bool, limit: int, seconds: float, done: int
    ) -> None:
        self._fold = str if match_case else folded
        self._text = self._fold(text)
        self._limit = limit
        self._until = time.monotonic() + seconds
        self._skipped = done
        self._left = MAX_RESPONSE_BYTES - (16 << 10)
        self.matches: list[query_pb2.SpanMatch] = []
        self.searched = 0
        self.after: tuple[SearchPlace, int] | None = None

    def visit(self, span: Span, place: SearchPlace) -> bool:
        """Search one span; whether to go on."""
        if time.monotonic() > self._until and self.searched:
            self.after = place, self._skipped
            return False
        number = 0
        for path, string in strings(span_message(span), _IDS):
            offsets = _offsets(self._text, self._fold(string))
            if not offsets or len(path) > _LONGEST_PATH:
                continue
            match = _match(span.span_id, path, string, offsets)
            number += 1
            if number <= self._skipped:
                continue
            self._left -= match.ByteSize() + 8
            if len(self.matches) == self._limit or (self._left < 0 and self.matches):
                self.after = place, number - 1
                self.searched += 1
                return False
            self.matches.append(match)
        self._skipped = 0
        self.searched += 1
        return True


def folded(text: str) -> str:
    """The text with each letter in lower case that has one letter as its lower case, so that places
    in it are those in the text."""
    lower = text.lower()
    if len(lower) == len(text):
        return lower
    return "".join(low if len(low := letter.lower()) == 1 else letter for letter in text)


def _offsets(text: str, string: str) -> list[int]:
    """Where the text occurs. `find` is linear whatever the text is, and a pattern is not."""
    found = []
    place = string.find(text)
    while place >= 0:
        found.append(place)
        place = string.find(text, place + len(text))
    return found


def _match(span_id: str, path: str, string: str, found: list[int]) -> query_pb2.SpanMatch:
    begin = max(0, found[0] - _BEFORE)
    return query_pb2.SpanMatch(
        span_id=span_id,
        path=path,
        count=len(found),
        offsets=found[:_MOST_OFFSETS],
        preview=string[begin : begin + PREVIEW],
    )
