"""The JSON codec: protobuf messages to and from JSON, compiled from descriptors at first use.

`parse` reads, `to_json` and `to_object` print; `check_supported` says at start-up whether they can.
Bad input is always a `JsonError`, which names the fields.
"""

from __future__ import annotations

from spanloom.codec.json_error import MAX_LEVELS, MOST_VIOLATIONS, JsonError
from spanloom.codec.json_parse import MOST_IGNORED, Parsed, parse
from spanloom.codec.json_print import to_json, to_object
from spanloom.codec.json_shape import UnsupportedTypeError, check_supported

__all__ = [
    "MAX_LEVELS",
    "MOST_IGNORED",
    "MOST_VIOLATIONS",
    "JsonError",
    "Parsed",
    "UnsupportedTypeError",
    "check_supported",
    "parse",
    "to_json",
    "to_object",
]
