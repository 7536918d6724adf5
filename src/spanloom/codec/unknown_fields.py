"""Names that no field has: the name that their writer may have meant."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any

from google.protobuf.descriptor import Descriptor

from spanloom.codec.json_shape import map_fields, spellings


def nearest_name(descriptor: Descriptor, path: str) -> str:
    """The JSON name of the field that is nearest to the last name of a path of names, "" if none is
    near. The names before it are those of fields."""
    *holders, name = path.split(".")
    message: Any = descriptor
    for holder in holders:
        known = spellings(message).get(holder)
        if known is None:
            return ""
        entry = map_fields(known[0])
        message = (entry[1] if entry else known[0]).message_type
        if message is None:
            return ""
    names = {field.json_name.lower(): field.json_name for field in message.fields}
    plain = name.replace("_", "").lower()
    found = get_close_matches(plain, names, n=1)
    return names[found[0]] if found else ""
