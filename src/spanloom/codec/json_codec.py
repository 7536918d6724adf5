"""The JSON codec: any protobuf message to and from JSON, compiled from its descriptor at first use.

`parse` reads (leniently unless told otherwise), `to_json` and `to_object` print. Bad input is always a `JsonError`, which names
the fields.
"""

from __future__ import annotations

from spanloom.codec.json_load import load_json
from spanloom.codec.json_parse import MOST_IGNORED, Parsed, parse
from spanloom.codec.json_print import to_json, to_object
from spanloom.codec.struct_wire import MAX_LEVELS, MOST_VIOLATIONS, JsonError

__all__ = [
    "MAX_LEVELS",
    "MOST_IGNORED",
    "MOST_VIOLATIONS",
    "JsonError",
    "Parsed",
    "load_json",
    "parse",
    "to_json",
    "to_object",
]
