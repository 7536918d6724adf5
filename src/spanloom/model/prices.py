"""The price of a model that a project or an operator has set."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

# The project whose spans are read: its prices are those of their costs.
READ_FOR: Final[ContextVar[str]] = ContextVar("read_for", default="")


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars per million tokens, from a time on.

    Attributes:
        model: In lower case; a `*` at its end stands for any characters.
        provider: In lower case, "" for any.
        cache_read, cache_written: None for that of other input tokens.
    """

    id: str
    model: str
    provider: str = ""
    valid_from_ns: int = 0
    input: float = 0.0
    output: float = 0.0
    cache_read: float | None = None
    cache_written: float | None = None
