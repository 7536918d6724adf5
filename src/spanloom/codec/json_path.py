"""Paths into a message, as callers write them: with the fields' JSON names, which only the proto
files define."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from google.protobuf.message import Message


def json_path(kind: type[Message]) -> Callable[[str], str]:
    """Spells a path of field names, like `logs[0].input_tokens`, with the JSON names of a message
    of this kind.

    What no field is named by is left as it is: a key of a map or of a Struct, and all below it.
    """

    def spelled(path: str) -> str:
        steps = []
        descriptor: Any = kind.DESCRIPTOR
        for step in path.split("."):
            name, bracket, index = step.partition("[")
            field = descriptor.fields_by_name.get(name) if descriptor is not None else None
            steps.append(step if field is None else field.json_name + bracket + index)
            descriptor = field.message_type if field is not None else None
        return ".".join(steps)

    return spelled
