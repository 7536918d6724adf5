"""The operator's file of prices, for all projects."""

from __future__ import annotations

import math
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Final

from spanloom.errors import SetupError
from spanloom.model.prices import Price

_KEYS: Final = {"model", "provider", "input", "output", "cache_read", "cache_write", "valid_from"}


def read_prices(path: str) -> list[Price]:
    """The prices of a TOML file, a table `[[price]]` for each; none for "".

    Raises:
        SetupError: The file cannot be read, or a price in it is wrong; the text names it.
    """
    if not path:
        return []
    try:
        document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SetupError(f"the prices in {path} cannot be read: {error}") from None
    found = document.get("price", [])
    if not isinstance(found, list) or document.keys() - {"price"}:
        raise SetupError(f"the prices in {path} must be tables [[price]] and nothing else")
    return [_price(path, number, table) for number, table in enumerate(found, 1)]


def _price(path: str, number: int, table: Any) -> Price:
    def refuse(why: str) -> SetupError:
        return SetupError(f"price {number} in {path}: {why}")

    if unknown := sorted(table.keys() - _KEYS):
        raise refuse(f"{unknown[0]} is not known; there are {', '.join(sorted(_KEYS))}")
    model, provider = table.get("model"), table.get("provider", "")
    if not isinstance(model, str) or not model or "*" in model[:-1]:
        raise refuse("model must be a name, which may have `*` at its end")
    if not isinstance(provider, str):
        raise refuse("provider must be a name")
    amounts = {}
    for key, name in _AMOUNTS.items():
        value = table.get(key)
        if value is None:
            continue
        if type(value) not in (int, float) or not 0 <= value < math.inf:
            raise refuse(f"{key} must be US dollars per million tokens, at least 0")
        amounts[name] = float(value)
    since = _nanoseconds(table.get("valid_from", _EARLIEST))
    if since is None:
        raise refuse("valid_from must be a date, or a time with its zone, from 1970 on")
    return Price(
        id=str(number),
        model=model.lower(),
        provider=provider.lower(),
        valid_from_ns=since,
        **amounts,
    )


_EARLIEST: Final = date(1970, 1, 1)


def _nanoseconds(given: Any) -> int | None:
    """A date, which begins in UTC, or a time with a zone, since 1970; None for all else."""
    if isinstance(given, date) and not isinstance(given, datetime):
        given = datetime(given.year, given.month, given.day, tzinfo=UTC)
    if not isinstance(given, datetime) or given.tzinfo is None or given.year < 1970:
        return None
    return int(given.timestamp()) * 10**9


_AMOUNTS: Final = {
    "input": "input",
    "output": "output",
    "cache_read": "cache_read",
    "cache_write": "cache_written",
}
