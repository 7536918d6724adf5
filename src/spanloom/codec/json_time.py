"""`google.protobuf.Timestamp` and `Duration` in JSON, to seconds and nanoseconds and back."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from spanloom.codec.json_error import JsonError, violation

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY = 86_400
_NANO = 1_000_000_000
_FIRST, _LAST = -62_135_596_800, 253_402_300_799  # years 1 to 9999
_LONGEST = 315_576_000_000  # seconds in a Duration: 10,000 years

# Groups: year, month, day, hour, minute, second, fraction, zone.
_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)"
    r"(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d+))?)? ?(Z|z|UTC|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)
_NUMBER = re.compile(r"[+-]?\d{1,30}(\.\d*)?([eE][+-]?\d{1,3})?", re.ASCII)
_DURATION = re.compile(r"(-?)(\d{1,12})(?:\.(\d{1,9}))?s", re.ASCII)

# A number below the limit is in that unit: 10^11 seconds is the year 5138, 10^11 milliseconds the
# year 1973.
_UNITS: tuple[tuple[int, int], ...] = ((10**11, _NANO), (10**14, 1_000_000), (10**17, 1_000))


def read_timestamp(value: Any) -> tuple[int, int]:
    """Seconds and nanoseconds since 1970 UTC of an RFC 3339 text.

    It also takes a text without zone (UTC), with a blank for the T, a date alone, more than 9
    digits of fraction (cut), and numbers or numeric texts, which are seconds, milliseconds,
    microseconds or nanoseconds since 1970, by their size.

    Raises:
        JsonError: The value is none of these, or out of range.
    """
    if isinstance(value, str):
        text = value.strip()
        match = _TIME.fullmatch(text)
        if match:
            return _moment(match)
        if _NUMBER.fullmatch(text):
            return _epoch(Decimal(text))
    elif type(value) is int or (type(value) is float and not value - value):
        return _epoch(Decimal(repr(value)))
    raise violation(
        "must be a time like 2024-05-06T07:08:09.123Z, or a number of seconds or milliseconds"
        " since 1970"
    )


def _moment(match: re.Match[str]) -> tuple[int, int]:
    year, month, day, hour, minute, second, fraction, zone = match.groups()
    try:
        moment = datetime(
            int(year),
            int(month),
            int(day),
            int(hour or 0),
            int(minute or 0),
            int(second or 0),
            tzinfo=UTC,
        )
    except ValueError:
        raise violation("is not a valid time: one of its parts is out of range") from None
    since = moment - _EPOCH
    seconds = since.days * _DAY + since.seconds
    if zone and zone[0] in "+-":
        hours, minutes = int(zone[1:3]), int(zone[-2:]) if len(zone) > 3 else 0
        if hours > 23 or minutes > 59:
            raise violation(f"is not a valid time: its UTC offset {zone} is out of range")
        offset = hours * 3600 + minutes * 60
        seconds += offset if zone[0] == "-" else -offset
    return _in_range(seconds, int(fraction[:9].ljust(9, "0")) if fraction else 0)


def _epoch(number: Decimal) -> tuple[int, int]:
    if abs(number) >= 10**21:
        raise _out_of_range()
    scale: int = next((scale for limit, scale in _UNITS if abs(number) < limit), 1)
    nanos: int = math.floor(number * scale)
    seconds, rest = divmod(nanos, _NANO)
    return _in_range(seconds, rest)


def _in_range(seconds: int, nanos: int) -> tuple[int, int]:
    if not _FIRST <= seconds <= _LAST or not 0 <= nanos < _NANO:
        raise _out_of_range()
    return seconds, nanos


def _out_of_range() -> JsonError:
    return violation("is out of range: times are from the year 1 to the year 9999")


def timestamp_text(message: Any) -> str:
    """RFC 3339 in UTC with 0, 3, 6 or 9 digits of fraction; JsonError for an invalid Timestamp."""
    seconds, nanos = _in_range(message.seconds, message.nanos)
    moment = _EPOCH + timedelta(days=seconds // _DAY, seconds=seconds % _DAY)
    return moment.isoformat()[:19] + _fraction(nanos) + "Z"


def read_duration(value: Any) -> tuple[int, int]:
    """Seconds and nanoseconds, of one sign, of a text like "1.5s". Raises JsonError."""
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if not match:
        raise violation('must be a number of seconds followed by "s", for example "1.5s"')
    sign, seconds, fraction = match.groups()
    factor = -1 if sign else 1
    nanos = int(fraction.ljust(9, "0")) if fraction else 0
    return _duration_in_range(factor * int(seconds), factor * nanos)


def duration_text(message: Any) -> str:
    """Like "-1.500s", with 0, 3, 6 or 9 digits of fraction; JsonError for an invalid Duration."""
    seconds, nanos = _duration_in_range(message.seconds, message.nanos)
    sign = "-" if seconds < 0 or nanos < 0 else ""
    return f"{sign}{abs(seconds)}{_fraction(abs(nanos))}s"


def _duration_in_range(seconds: int, nanos: int) -> tuple[int, int]:
    if abs(seconds) > _LONGEST or abs(nanos) >= _NANO or seconds * nanos < 0:
        raise violation(
            "is out of range: a duration is at most 10,000 years, and its seconds and nanoseconds"
            " have the same sign"
        )
    return seconds, nanos


def _fraction(nanos: int) -> str:
    if not nanos:
        return ""
    digits = f".{nanos:09}"
    return digits.removesuffix("000").removesuffix("000")
