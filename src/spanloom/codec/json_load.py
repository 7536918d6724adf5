"""JSON text to Python values: quick where it is good, and where it is not, as far as needed to say what is wrong and where."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from itertools import islice
from typing import Any

import orjson

from spanloom.codec.struct_wire import JsonError, fault

# A longer literal is beyond the range of a double whatever its digits are.
_LONGEST_INT = 400
# Python's parser gives up at some 1,000 levels, fewer deep in its stack.
_TOO_DEEP = 500
_LEVELS_SHOWN = 20
_MOST_TOKENS = 500_000
# The closing quote may lack, so that each search goes on from where the one before ended: time is linear in the text.
_TOKEN = re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"?|[\[\]{},]', re.DOTALL)


def load_json(data: bytes) -> Any:
    """The value of a JSON text. Of a name that stands twice in an object the last wins.

    Lone surrogates, bytes that are not UTF-8, NaN, Infinity and numbers beyond a double do not fail here: they come back as
    texts that cannot be encoded and as non-finite floats, so that what reads the value can name the field. Raises JsonError:
    what is wrong, at which line and column, or where the nesting is too deep.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return _load_slowly(data.removeprefix(b"\xef\xbb\xbf"))


def load_json_strictly(data: bytes) -> Any:
    """As `load_json`, but a name that stands twice in an object, bad UTF-8, and a byte order mark are errors."""
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise fault(f"is not UTF-8 text: byte {error.start}") from None
    return _loads(text, _without_twins)


def _load_slowly(data: bytes) -> Any:
    return _loads(data.decode("utf-8", "surrogateescape"), None)


def _loads(text: str, hook: Any) -> Any:
    try:
        return json.loads(text, parse_int=_int, object_pairs_hook=hook)
    except json.JSONDecodeError as error:
        why = error.msg[:1].lower() + error.msg[1:]
        raise fault(
            f"is not valid JSON (line {error.lineno}, column {error.colno}): {why}"
        ) from None
    except RecursionError:
        raise fault("is nested too deeply", _deep_path(text)) from None


def _int(digits: str) -> int | float:
    if len(digits) < _LONGEST_INT:
        return int(digits)
    return -math.inf if digits[0] == "-" else math.inf


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) < len(pairs):
        twins = [name for name, times in Counter(name for name, _ in pairs).items() if times > 1]
        raise JsonError([(name, "stands twice in one object") for name in twins])
    return out


def _deep_path(text: str) -> str:
    """The first levels of the path to what is nested too deeply: enough to name the field. "" where it is not soon found."""
    path: list[str | int] = []
    for token in islice(_TOKEN.finditer(text), _MOST_TOKENS):
        mark = token[0]
        if mark in "[{":
            if len(path) >= _TOO_DEEP:
                shown = path[:_LEVELS_SHOWN]
                steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in shown)
                return "".join(steps).removeprefix(".")
            path.append(0 if mark == "[" else "")
        elif mark in "]}":
            del path[-1:]
        elif path and mark == ",":
            if isinstance(path[-1], int):
                path[-1] += 1
        elif path and isinstance(path[-1], str):
            path[-1] = token[1]  # a name, or a value that the next name replaces
    return ""
