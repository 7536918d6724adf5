"""Pages of spans that are bounded by bytes as well: one span may have 64 MiB."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from spanloom import errors
from spanloom.model import Span
from spanloom.model.held import HELD

# So many bytes are counted at once.
_STEP: Final = 256 << 10
# A page has its spans, the message that is made of them, and its bytes: beside what was sent, once
# more is a low estimate of it.
_WEIGHT: Final = 2


class PageSize:
    """The bytes of the spans of a page, which the call holds until it ends.

    Args:
        most: The page may have; None for any number.
    """

    def __init__(self, most: int | None) -> None:
        self._most = most
        self._holder = HELD.get()
        self._size = self._held = 0

    def add(self, span: Span) -> None:
        """Count a span of the page.

        Raises:
            SpanloomError: INVALID_ARGUMENT if it does not fit; RESOURCE_EXHAUSTED as
                `Holder.take`.
        """
        if self._size and self._most is not None and self._size + span.size > self._most:
            raise errors.page_too_large(self._most)
        self._size += span.size
        if self._holder is not None and self._size - self._held >= _STEP:
            self._holder.take(_WEIGHT * (self._size - self._held))
            self._held = self._size


def whole_page(spans: Iterable[Span], most_bytes: int | None) -> list[Span]:
    """All of the spans; raises as `PageSize.add`."""
    page: list[Span] = []
    size = PageSize(most_bytes)
    for span in spans:
        size.add(span)
        page.append(span)
    return page


def page_start(spans: Iterable[Span], most_bytes: int | None) -> list[Span]:
    """The first of the spans, up to the one with which they have so many bytes; the call holds them
    as those of `PageSize`."""
    page: list[Span] = []
    size, held = 0, PageSize(None)
    for span in spans:
        held.add(span)
        page.append(span)
        size += span.size
        if most_bytes is not None and size >= most_bytes:
            break
    return page
