"""Times and durations as people write them on a command line."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import click

from spanloom.model.times import DURATIONS, written_time


class TimeType(click.ParamType[datetime]):
    """A time as of `written_time`, with its `sign`."""

    name = "TIME"

    def __init__(self, sign: int) -> None:
        self._sign = sign

    def convert(self, value: Any, param: Any, ctx: Any) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            return written_time(value, sign=self._sign)
        except ValueError:
            self.fail(f"{value!r} must be a time like 2026-01-31T12:00Z, or 7d")


class DurationType(click.ParamType[timedelta]):
    """A duration: `90s`, `5m`, `1.5s`, or a number of seconds."""

    name = "DURATION"

    def convert(self, value: Any, param: Any, ctx: Any) -> timedelta:
        if isinstance(value, timedelta):
            return value
        given = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)([smhdw]?)", value)
        if given is None:
            self.fail(f"{value!r} must be a duration like 1.5s, 5m or 2h")
        return float(given[1]) * DURATIONS[given[2] or "s"]


TIME = TimeType(-1)
EXPIRY = TimeType(1)
DURATION = DurationType()


def since_and_until(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options --since and --until."""
    command = click.option("--until", type=TIME, help="Only before this time.")(command)
    return click.option(
        "--since", type=TIME, help="Only from this time on: 7d (also s, m, h, w) or ISO 8601."
    )(command)
