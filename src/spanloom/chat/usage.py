"""What spans used: tokens and US dollars."""

from __future__ import annotations

from typing import Final, NamedTuple, TypeVar

Number = TypeVar("Number", int, float)


class Usage(NamedTuple):
    """Tokens and US dollars; None is unknown."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    input_cost: float | None = None
    output_cost: float | None = None
    total_cost: float | None = None

    def plus(self, other: Usage) -> Usage:
        """The sum of what is known."""
        if other is NO_USAGE:
            return self
        if self is NO_USAGE:
            return other
        return Usage._make(map(sum_known, self, other))


NO_USAGE: Final = Usage()


def sum_known(a: Number | None, b: Number | None) -> Number | None:
    if a is None or b is None:
        return b if a is None else a
    return a + b
