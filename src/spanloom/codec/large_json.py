"""Large JSON in steps: other threads run between two of them.

A parser written in C holds the interpreter's lock until it is done; for 50 MB that is a
second.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from typing import Any, Final, NoReturn

# From this many bytes on the steps are worth their cost.
LARGE: Final = 1 << 20
_SURE_DIGITS: Final = 18  # so many fit in 64 bits, whatever they are

Scan = Callable[[str, int], tuple[Any, int]]


def loads(text: str, *, levels: int) -> Any:
    """The value of a JSON text, as `orjson.loads` gives it; but lone surrogates are kept.

    Args:
        levels: So many levels of objects and lists are read one member a step.

    Raises:
        ValueError: The text is not JSON.
    """
    try:
        return decoded(text, _decoder, levels=levels)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def decoded(text: str, decoder: json.JSONDecoder, *, levels: int) -> Any:
    """The value of a JSON text, as the decoder gives it; otherwise as `loads`.

    Raises:
        JSONDecodeError, RecursionError, or what the decoder's functions raise.
    """
    value, at = _value(text, _skip(text, 0), levels, vars(decoder)["scan_once"])
    end = _skip(text, at)
    if end != len(text):
        raise json.JSONDecodeError("more than one value", text, end)
    return value


def _no_json(text: str) -> NoReturn:
    raise ValueError(f"{text} is not JSON")


def _whole(digits: str) -> int | float:
    if len(digits) <= _SURE_DIGITS:
        return int(digits)
    value = int(digits)
    return value if -(1 << 63) <= value < 1 << 64 else _fraction(digits)


def _fraction(digits: str) -> float:
    value = float(digits)
    return value if math.isfinite(value) else _no_json(digits)


# As orjson reads numbers: what 64 bits cannot hold is a float, what a float cannot hold an error.
_decoder = json.JSONDecoder(parse_constant=_no_json, parse_int=_whole, parse_float=_fraction)
_space = re.compile(r"[ \t\n\r]*").match


def _skip(text: str, at: int) -> int:
    if text[at : at + 1] not in " \t\n\r":
        return at
    found = _space(text, at)
    return found.end() if found else at


def _value(text: str, at: int, levels: int, scan: Scan) -> tuple[Any, int]:
    opening = text[at : at + 1]
    if levels and opening == "{":
        return _object(text, at + 1, levels - 1, scan)
    if levels and opening == "[":
        return _list(text, at + 1, levels - 1, scan)
    try:
        return scan(text, at)
    except StopIteration as missing:
        raise json.JSONDecodeError("a value is missing", text, missing.value) from None


def _object(text: str, at: int, levels: int, scan: Scan) -> tuple[dict[str, Any], int]:
    found: dict[str, Any] = {}
    at = _skip(text, at)
    if text[at : at + 1] == "}":
        return found, at + 1
    while True:
        if text[at : at + 1] != '"':
            raise json.JSONDecodeError("a key is missing", text, at)
        key, at = _value(text, at, 0, scan)
        at = _skip(text, at)
        if text[at : at + 1] != ":":
            raise json.JSONDecodeError("a colon is missing", text, at)
        found[key], at = _value(text, _skip(text, at + 1), levels, scan)
        is_last, at = _after_member(text, at, "}")
        if is_last:
            return found, at


def _list(text: str, at: int, levels: int, scan: Scan) -> tuple[list[Any], int]:
    found: list[Any] = []
    at = _skip(text, at)
    if text[at : at + 1] == "]":
        return found, at + 1
    while True:
        value, at = _value(text, at, levels, scan)
        found.append(value)
        is_last, at = _after_member(text, at, "]")
        if is_last:
            return found, at


def _after_member(text: str, at: int, closing: str) -> tuple[bool, int]:
    """Whether the member before was the last one, and where the next begins."""
    at = _skip(text, at)
    mark = text[at : at + 1]
    if mark not in (closing, ","):
        raise json.JSONDecodeError("a comma is missing", text, at)
    return mark == closing, _skip(text, at + 1)
