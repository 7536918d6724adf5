"""Prices that projects and the operator have set, which precede the list of prices.

A cost is computed where a span is read, which knows nothing of projects: so the project is told
beside the call, by `READ_FOR`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from spanloom.model.prices import READ_FOR, Price

# Of all projects, below those of each.
EVERY_PROJECT: Final = "*"


class _Prices(NamedTuple):
    """The prices of a project: those of whole names, and those with a `*`, the longest first."""

    whole: dict[str, list[Price]]
    open: list[Price]

    def find(self, provider: str, model: str, at_ns: int) -> Price | None:
        for price in self.whole.get(model, ()):
            if price.valid_from_ns <= at_ns and price.provider in ("", provider):
                return price
        for price in self.open:
            if (
                price.valid_from_ns <= at_ns
                and price.provider in ("", provider)
                and model.startswith(price.model[:-1])
            ):
                return price
        return None


_prices: dict[str, _Prices] = {}


def set_prices(project: str, prices: Iterable[Price]) -> None:
    """Replace the prices of a project, or those of EVERY_PROJECT."""
    whole: dict[str, list[Price]] = {}
    open = []
    # Those of a provider precede those of any, and later ones earlier ones.
    for price in sorted(prices, key=lambda p: (p.provider == "", -p.valid_from_ns, p.id)):
        if price.model.endswith("*"):
            open.append(price)
        else:
            whole.setdefault(price.model, []).append(price)
    if whole or open:
        open.sort(key=lambda p: -len(p.model))  # stable
        _prices[project] = _Prices(whole, open)
    else:
        _prices.pop(project, None)


def own_price(provider: str, model: str, at_ns: int) -> Price | None:
    """The price of a model in the project of READ_FOR, that was valid at a time."""
    if not _prices:  # nearly always
        return None
    model, provider = model.lower(), provider.lower()
    for project in (READ_FOR.get(), EVERY_PROJECT):
        prices = _prices.get(project)
        if prices and (found := prices.find(provider, model, at_ns)):
            return found
    return None
