"""JSON text to Python values; if the text is bad, what is wrong and where."""

from __future__ import annotations

import json
import math
import re
from itertools import islice
from typing import Any

import orjson

from spanloom.codec import large_json
from spanloom.codec.json_error import violation

# A longer literal is beyond the range of a double whatever its digits are.
_LONGEST_INT = 400
# Python's parser gives up at some 1,000 levels, fewer deep in its stack.
_TOO_DEEP = 500
_LEVELS_NAMED = 20
# Deeper, the members of a large text are few, or small together.
_STEPPED_LEVELS = 4
_MOST_TOKENS = 500_000
# The closing quote is optional, so that each search continues where the one before ended: the time
# is linear in the text.
_TOKEN = re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)"?|[\[\]{},]', re.DOTALL)


def load_json(data: bytes) -> Any:
    """The value of a JSON text. Of a name that is twice in an object the last counts.

    Lone surrogates, bytes that are not UTF-8, NaN, Infinity and numbers beyond a double do not fail
    here: they become texts that cannot be encoded and floats that are not finite, so that whoever
    reads the value can name the field.

    Raises:
        JsonError: What is wrong, at which line and column, or where the nesting is too deep.
    """
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return _load_slowly(data.removeprefix(b"\xef\xbb\xbf"))


def _load_slowly(data: bytes) -> Any:
    text = data.decode("utf-8", "surrogateescape")
    try:
        if len(data) < large_json.LARGE:
            return _decoder.decode(text)
        return large_json.decoded(text, _decoder, levels=_STEPPED_LEVELS)
    except json.JSONDecodeError as error:
        why = error.msg[:1].lower() + error.msg[1:]
        raise violation(
            f"is not valid JSON (line {error.lineno}, column {error.colno}): {why}"
        ) from None
    except RecursionError:
        raise violation("is nested too deeply", _deep_path(text)) from None


def _int(digits: str) -> int | float:
    if len(digits) < _LONGEST_INT:
        return int(digits)
    return -math.inf if digits[0] == "-" else math.inf


_decoder = json.JSONDecoder(parse_int=_int)


def _deep_path(text: str) -> str:
    """The first levels of the path to what is nested too deeply; "" if it is not found soon."""
    path: list[str | int] = []
    for token in islice(_TOKEN.finditer(text), _MOST_TOKENS):
        mark = token[0]
        if mark in "[{":
            if len(path) >= _TOO_DEEP:
                first = path[:_LEVELS_NAMED]
                steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in first)
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
