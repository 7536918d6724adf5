"""The case of letters where it does not matter."""

from __future__ import annotations

_UPPER = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def folded(text: str) -> str:
    """The text with ASCII letters in lower case. No other letter has its case folded: that can
    depend on the letters beside it."""
    return text.lower() if text.isascii() else text.translate(_UPPER)
