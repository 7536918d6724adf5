"""What is wrong with a JSON document: violations, each with the path of its field."""

from __future__ import annotations

import json
import struct
from collections.abc import Sequence
from typing import Any

# Every protobuf runtime reads 100 levels of messages by default. Ten are left for the messages that
# hold a Struct or Value. In a Struct each object takes three levels (map entry, Value, Struct),
# each list two (Value, ListValue).
MAX_LEVELS = 90
MOST_VIOLATIONS = 100

_LONGEST_PATH = 400
_LONGEST_TEXT = 40


class JsonError(ValueError):
    """JSON that does not fit its message.

    Attributes:
        violations: Pairs of field path and description, at most `MOST_VIOLATIONS`. A path is like
            `events[3].event_type`, in the JSON names of the fields; "" is the document itself. Both
            texts are valid Unicode, whatever the input was.
    """

    def __init__(self, violations: Sequence[tuple[str, str]]) -> None:
        self.violations = [
            (_clean(path), _clean(description))
            for path, description in violations[:MOST_VIOLATIONS]
        ]
        super().__init__("; ".join(f"{p}: {d}" if p else d for p, d in self.violations))


# What the conversion of one value may raise. Containers turn each into violations below the path of
# the value.
CONVERSION_ERRORS = (JsonError, UnicodeEncodeError, OverflowError, struct.error)


def violation(description: str, path: str = "") -> JsonError:
    """A JsonError with one violation."""
    return JsonError([(path, description)])


def prefix_path(segment: str, error: Exception) -> list[tuple[str, str]]:
    """The violations in one of `CONVERSION_ERRORS`, as the container of the value names them.

    Args:
        segment: The value's name or index in its container.
    """
    if isinstance(error, JsonError):
        return [
            (f"{segment}{'.' if segment and path and path[0] != '[' else ''}{path}", description)
            for path, description in error.violations
        ]
    if isinstance(error, UnicodeEncodeError):
        return [
            (
                segment,
                "is not valid Unicode: it contains a lone surrogate or bytes that are not UTF-8",
            )
        ]
    return [(segment, "is out of the range of a double")]


def too_deep() -> JsonError:
    """The error of a value with too many levels of messages below it."""
    return violation(
        f"is nested too deeply: at most {MAX_LEVELS} levels are allowed, and each object counts"
        " as 3, each array as 2"
    )


def describe(value: Any) -> str:
    """A value for the text of an error: short, or only its kind."""
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, str):
        more = "…" if len(value) > _LONGEST_TEXT else ""
        return f"the string {value[:_LONGEST_TEXT]!r}{more}"
    return json.dumps(value)[:_LONGEST_TEXT]


def _clean(text: str) -> str:
    if len(text) > _LONGEST_PATH:
        text = text[:_LONGEST_PATH] + "…"
    return text.encode("utf-8", "backslashreplace").decode()
