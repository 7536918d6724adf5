"""JSON as text that people read, and the JSON in a text."""

from __future__ import annotations

import json
from typing import Any, Final

from spanloom.model.genai import Json

_PRINTER: Final = json.JSONEncoder(ensure_ascii=False)


def json_in(text: str) -> Json:
    """The value of a text that is a JSON object or array, else the text itself.

    Integers keep all their digits, which orjson would round.
    """
    if not text.startswith(("{", "[")):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def printed(value: Json) -> str:
    """A value as JSON text, with a space after each `,` and `:`; any letter stays as it is.

    A text stays as it is, None is "". So is what no JSON parser could have made.
    """
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    try:
        return _PRINTER.encode(value)
    except (TypeError, ValueError, RecursionError):
        return ""


def reprinted(value: Json) -> str:
    """As `printed`; a text that holds a JSON object or array is printed in the same style."""
    return printed(json_in(value) if isinstance(value, str) else value)


def json_object(value: Any) -> dict[str, Json]:
    """The value where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}
