"""Times and durations as people write them on a command line."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import click

_UNITS: Final = {
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_AGO = re.compile(r"(\d{1,6})([smhdw])")


class TimeType(click.ParamType[datetime]):
    """A time: `7d` (also s, m, h, w) away from now, or ISO 8601, in UTC if it has no zone.

    Args:
        sign: -1 for the past, 1 for the future.
    """

    name = "TIME"

    def __init__(self, sign: int) -> None:
        self._sign = sign

    def convert(self, value: Any, param: Any, ctx: Any) -> datetime:
        if isinstance(value, datetime):
            return value
        if ago := _AGO.fullmatch(value):
            return datetime.now(UTC) + self._sign * int(ago[1]) * _UNITS[ago[2]]
        try:
            given = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} must be a time like 2026-01-31T12:00Z, or 7d")
        return given if given.tzinfo else given.replace(tzinfo=UTC)


class DurationType(click.ParamType[timedelta]):
    """A duration: `90s`, `5m`, `1.5s`, or a number of seconds."""

    name = "DURATION"

    def convert(self, value: Any, param: Any, ctx: Any) -> timedelta:
        if isinstance(value, timedelta):
            return value
        given = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smhdw]?)", value)
        if given is None:
            self.fail(f"{value!r} must be a duration like 1.5s, 5m or 2h")
        return float(given[1]) * _UNITS[given[2] or "s"]


TIME = TimeType(-1)
EXPIRY = TimeType(1)
DURATION = DurationType()


def since_and_until(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options --since and --until."""
    command = click.option("--until", type=TIME, help="Only before this time.")(command)
    return click.option(
        "--since", type=TIME, help="Only from this time on: 7d (also s, m, h, w) or ISO 8601."
    )(command)
