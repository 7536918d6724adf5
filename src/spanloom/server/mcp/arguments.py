"""The arguments of tools: their JSON Schema, and their check."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from google.protobuf.timestamp_pb2 import Timestamp

from spanloom.model.times import EPOCH, written_time

Kind = Literal["string", "integer", "number", "boolean", "strings", "time"]

_SCHEMAS: Final[Mapping[Kind, Mapping[str, Any]]] = {
    "string": {"type": "string"},
    "integer": {"type": "integer"},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
    "strings": {"type": "array", "items": {"type": "string"}},
    "time": {"type": "string"},
}


class ArgumentError(Exception):
    """An argument that a tool cannot take; the text is for the caller."""


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a tool.

    Attributes:
        words: The values that a string may have; empty for any.
        least, most: The bounds of a number.
    """

    name: str
    kind: Kind
    description: str
    required: bool = False
    words: Sequence[str] = ()
    least: int | None = None
    most: int | None = None

    def schema(self) -> dict[str, Any]:
        made = {**_SCHEMAS[self.kind], "description": self.description}
        if self.words:
            made["enum"] = list(self.words)
        if self.least is not None:
            made["minimum"] = self.least
        if self.most is not None:
            made["maximum"] = self.most
        return made

    def checked(self, value: Any) -> Any:
        """The value; a time as a Timestamp.

        Raises:
            ArgumentError: It has the wrong type, or is out of bounds.
        """
        if not _has_kind(value, self.kind):
            raise ArgumentError(f"`{self.name}` must be {_NAMES[self.kind]}")
        if self.words and value not in self.words:
            raise ArgumentError(f"`{self.name}` must be one of {', '.join(self.words)}")
        if self.kind in ("integer", "number"):
            if self.least is not None and value < self.least:
                raise ArgumentError(f"`{self.name}` must be at least {self.least}")
            if self.most is not None and value > self.most:
                raise ArgumentError(f"`{self.name}` must be at most {self.most}")
        return _time(self.name, value) if self.kind == "time" else value


_NAMES: Final[Mapping[Kind, str]] = {
    "string": "a string",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "strings": "a list of strings",
    "time": "a string",
}


def schema_of(arguments: Sequence[Argument]) -> dict[str, Any]:
    """The JSON Schema of an object of arguments."""
    return {
        "type": "object",
        "properties": {argument.name: argument.schema() for argument in arguments},
        "required": [argument.name for argument in arguments if argument.required],
        "additionalProperties": False,
    }


def checked_arguments(arguments: Sequence[Argument], given: Any) -> dict[str, Any]:
    """The arguments that were given, without those that are null.

    Raises:
        ArgumentError: One is unknown, missing or wrong.
    """
    if not isinstance(given, dict):
        raise ArgumentError("the arguments must be an object")
    known = {argument.name: argument for argument in arguments}
    found = {}
    for name, value in given.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            said = f"did you mean `{near[0]}`?" if near else f"there are {', '.join(known)}"
            raise ArgumentError(f"there is no argument `{name[:100]}`: {said}")
        if value is not None:
            found[name] = known[name].checked(value)
    for argument in arguments:
        if argument.required and argument.name not in found:
            raise ArgumentError(f"`{argument.name}` is required")
    return found


def _has_kind(value: Any, kind: Kind) -> bool:
    match kind:
        case "string" | "time":
            return isinstance(value, str)
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return type(value) is int
        case "number":
            return type(value) in (int, float)
        case "strings":
            return isinstance(value, list) and all(isinstance(one, str) for one in value)


def _time(name: str, text: str) -> Timestamp:
    made = Timestamp()
    try:
        made.FromDatetime(max(written_time(text), EPOCH))
    except (ValueError, OverflowError):
        raise ArgumentError(
            f"`{name}` must be a time like 2026-01-31T12:00Z, or 24h or 7d (before now)"
        ) from None
    return made
