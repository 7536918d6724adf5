"""JSON as people read it in a chat: text that never fails to come."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spanloom.model import Json


_PRINTER = json.JSONEncoder(ensure_ascii=False)


def parsed(text: str) -> Json:
    """The value of a text that is a JSON object or array, else the text itself."""
    if not text.startswith(("{", "[")):
        return text
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def printed(value: Json) -> str:
    """A value as JSON text, with a space after each `,` and `:` and other alphabets left readable. A text stays as it is,
    None is ""; so is what no JSON parser could have made."""
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
    return printed(parsed(value) if isinstance(value, str) else value)


def json_object(value: Any) -> dict[str, Json]:
    """The value where it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}
