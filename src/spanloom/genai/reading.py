"""Readers: one attribute's value as a canonical value, None if it cannot be that. They never raise.

Also the two shapes in which conventions hide structure: JSON in a text, and dotted keys with
numbers for the elements of lists.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import orjson

from spanloom.codec import large_json
from spanloom.model import MAX_ID_LENGTH, MAX_TIME_NS, Json

Reader = Callable[[Json], Json]

# orjson writes at most 254 levels; parsed text is a few levels below the top of a span's body.
_MAX_BRACKETS = 200
_MARGIN = 40
_MAX_KEY_DEPTH = 32


def text(value: Json) -> str | None:
    """Text that says something."""
    return value if isinstance(value, str) and value else None


def lowered(value: Json) -> str | None:
    """A word of a closed set, in lower case."""
    return value.strip().lower() or None if isinstance(value, str) else None


def identifier(value: Json) -> str | None:
    """An id: text or a number, of at most 256 characters."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return value if isinstance(value, str) and 0 < len(value) <= MAX_ID_LENGTH else None


def count(value: Json) -> int | None:
    """A count: a non-negative whole number, or text that is one."""
    if isinstance(value, str):
        value = int(value) if len(value) < 20 and value.isdecimal() and value.isascii() else None
    if isinstance(value, float):
        value = int(value) if value.is_integer() else None
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= MAX_TIME_NS:
        return None
    return value


def number(value: Json) -> float | None:
    """A finite number, or text that is one."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if math.isfinite(value) else None


def dollars(value: Json) -> float | None:
    """A cost in US dollars."""
    found = number(value)
    return None if found is None or found < 0 else float(found)


def given_dollars(value: Json) -> float | None:
    """A cost of an SDK that sends 0 where it does not know the price."""
    return dollars(value) or None


def anything(value: Json) -> Json:
    """The value as it is; "" says nothing."""
    return None if value == "" else value


def structured(value: Json) -> Json:
    """The JSON object or list in a text, else the value as it is; "" says nothing."""
    if isinstance(value, str):
        return None if not value else parsed(value)
    return value


def decoded(value: Json) -> Json:
    """The JSON value of any kind in a text, for attributes that always hold JSON, else the text."""
    if isinstance(value, str) and value[:1] == '"':
        try:
            return orjson.loads(value)
        except ValueError:
            return value
    return structured(value)


def an_object(value: Json) -> dict[str, Json] | None:
    """The JSON object in a text, or an object."""
    value = structured(value)
    return value if isinstance(value, dict) and value else None


def texts(value: Json) -> list[str] | None:
    """A list of texts: an array, or one in JSON; one text is a list of itself."""
    value = structured(value)
    if isinstance(value, str):
        return [value]
    found = [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
    return found or None


def word_in(table: Mapping[str, Json]) -> Reader:
    """A word, as the table has it; None for words that are not in the table."""
    return lambda value: table.get(value.lower()) if isinstance(value, str) else None


def parsed(value: str) -> Json:
    """The JSON object or list that a text is, else the text."""
    # "[object Object]" is what JavaScript makes of an object that nobody wrote as JSON.
    if value[:1] not in ("{", "[") and value.lstrip()[:1] not in ("{", "["):
        return value
    try:
        found = _loaded(value)
    except ValueError:
        found = _parsed_leniently(value)
        if found is None:
            return value
    # Each bracket is closed again, so most texts are too short to have so many.
    if (
        len(value) > 2 * _MAX_BRACKETS
        and value.count("{") + value.count("[") > _MAX_BRACKETS
        and not _fits(found)
    ):
        return value
    return found


def _loaded(value: str) -> Json:
    # Half a surrogate pair, which only orjson refuses, is written as an escape.
    if len(value) < large_json.LARGE or "\\ud" in value or "\\uD" in value:
        return orjson.loads(value)
    return large_json.loads(value, levels=1)


def _parsed_leniently(value: str) -> Json:
    """Python's json writes NaN and Infinity, which are no JSON; they become null."""
    if "NaN" not in value and "Infinity" not in value:
        return None
    try:
        return orjson.loads(orjson.dumps(json.loads(value)))
    except (ValueError, TypeError, RecursionError):
        return None


def _fits(value: Json) -> bool:
    """Whether a value, some levels down, is not nested too deeply to be written."""
    for _ in range(_MARGIN):
        value = [value]
    try:
        orjson.dumps(value)
    except TypeError:
        return False
    return True


def json_text(value: Json) -> str:
    """A value as text: text as it is, all else as JSON."""
    if isinstance(value, str):
        return value
    try:
        return orjson.dumps(value).decode()
    except TypeError:
        return ""


def nested(pairs: Iterable[tuple[str, Json]]) -> dict[str, Any]:
    """Dotted keys as nested objects; numbers 0, 1, 2... as lists.

    A scalar beside a nested value of the same name is put inside it, as `value` (or, if that is
    taken, as ``""``).
    """
    root: dict[str, Any] = {}
    for key, value in pairs:
        *path, last = key.split(".", _MAX_KEY_DEPTH)
        node = root
        for segment in path:
            inner = node.get(segment)
            if type(inner) is not _Node:
                inner, beside = _Node(), inner
                if beside is not None:
                    inner.beside = beside
                node[segment] = inner
            node = inner
        there = node.get(last)
        if type(there) is _Node:
            there.beside = value
        else:
            node[last] = value
    return {key: _unwrapped(value) for key, value in root.items()}


class _Node(dict[str, Any]):
    """An object made from dotted keys, not a value; `beside` is the scalar of the same name."""

    beside: Json = None


def _unwrapped(node: Any) -> Json:
    if type(node) is not _Node:
        return node
    value = {key: _unwrapped(inner) for key, inner in node.items()}
    if node.beside is not None:
        value["" if "value" in value else "value"] = node.beside
        return value
    if all(str(index) in value for index in range(len(value))):
        return [value[str(index)] for index in range(len(value))]
    return value


def elements(node: Json) -> list[Json]:
    """The elements of a list made from dotted keys, by their numbers, where some may be missing."""
    if isinstance(node, list):
        return node
    if not isinstance(node, dict):
        return []
    numbered = [key for key in node if key.isdecimal() and key.isascii() and len(key) < 10]
    return [node[key] for key in sorted(numbered, key=int)]
