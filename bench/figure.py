"""A figure: what was measured, against its limit in the same run."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """`measured` and `limit` in one unit. `wanted` is the least (or, where less is better, the
    largest) ratio to reach."""

    name: str
    measured: float
    limit_name: str
    limit: float
    wanted: float
    unit: str = "/s"
    less_is_better: bool = False
    note: str = ""

    @property
    def ratio(self) -> float:
        return self.measured / self.limit

    @property
    def reached(self) -> bool:
        return self.ratio <= self.wanted if self.less_is_better else self.ratio >= self.wanted

    def __str__(self) -> str:
        sign = "<=" if self.less_is_better else ">="
        return (
            f"{self.name:<46}{self.measured:>10,.4g} {self.unit:<4}{self.limit_name:<42}{self.limit:>10,.4g} {self.unit:<4}"
            f"ratio {self.ratio:5.2f} (wanted {sign} {self.wanted:g}) {'reached' if self.reached else 'NOT REACHED'}"
            + (f"  [{self.note}]" if self.note else "")
        )


def middle(rounds: Iterable[tuple[float, float]]) -> tuple[float, float]:
    """(measured, limit) of the round with the median ratio. What else a machine does changes from
    second to second, so what was measured side by side belongs together."""
    by_ratio = sorted(rounds, key=lambda pair: pair[0] / pair[1])
    return by_ratio[len(by_ratio) // 2]
