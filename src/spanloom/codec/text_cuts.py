"""Strings and bytes of a message, shortened so that the message is not larger than a limit.

What is shortened is reported, so that its reader can ask for the rest.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, NamedTuple

from google.protobuf.descriptor import FieldDescriptor

from spanloom.codec.json_shape import map_fields
from spanloom.codec.value_path import path_text

# The most bytes of an answer, a little below 3 MiB: what is around the messages takes some.
MOST_BYTES: Final = (3 << 20) - 4096
# What one report takes, beside its two paths.
_REPORT: Final = 100
# Shorter strings are not shortened to make a message smaller.
_SHORTEST: Final = 64

Steps = tuple[str | int, ...]


class Cut(NamedTuple):
    """A value that was shortened: its path, the length of the whole value in code points or bytes,
    and its SHA-256. An empty path of a whole field: it was left out."""

    path: str
    length: int
    sha256: str


class Text(NamedTuple):
    path: Steps
    whole: str | bytes
    put: Callable[[Any], None]


def shortened(
    message: Any,
    *,
    limit: int = 0,
    most_bytes: int = MOST_BYTES,
    kept: frozenset[str] = frozenset(),
) -> list[Cut]:
    """Shorten the strings of a message in place; what was shortened, in the order of its fields.

    Strings longer than `limit` code points are shortened to it, if it is not 0. If the message is
    still too large, the longest are shortened further, and if that is not enough, the largest
    fields of the message are cleared.

    Args:
        kept: The names of fields of the message that are not touched.
    """
    size = message.ByteSize()
    if not limit and size <= most_bytes:
        return []
    shortest = limit or _SHORTEST
    texts = [
        text
        for text in texts_of(message, ())
        if len(text.whole) > shortest and text.path[0] not in kept
    ]
    cap = limit
    cuts = _cut(texts, limit) if limit else []
    while message.ByteSize() + _size_of(cuts) > most_bytes:
        longest = max((len(text.whole) for text in texts), default=0)
        cap = min(cap or longest, longest) // 2
        if cap < _SHORTEST:
            return _cleared(message, cuts, most_bytes, kept)
        cuts = _cut(texts, cap)
    return cuts


def _cut(texts: list[Text], cap: int) -> list[Cut]:
    cuts = []
    for text in texts:
        if len(text.whole) > cap:
            text.put(text.whole[:cap])
            cuts.append(Cut(path_text(text.path), len(text.whole), _sha256(text.whole)))
    return cuts


def _size_of(cuts: list[Cut]) -> int:
    return sum(_REPORT + 2 * len(cut.path.encode()) for cut in cuts)


def _cleared(message: Any, cuts: list[Cut], most_bytes: int, kept: frozenset[str]) -> list[Cut]:
    """Clear the largest fields until the message is small enough."""
    sizes = [
        (_field_size(field, value), field.name)
        for field, value in message.ListFields()
        if field.name not in kept
    ]
    for _, name in sorted(sizes, reverse=True):
        if message.ByteSize() + _size_of(cuts) <= most_bytes:
            break
        message.ClearField(name)
        cuts = [cut for cut in cuts if cut.path.split(".", 1)[0] != name]
        cuts.append(Cut(name, 0, ""))
    return cuts


def _field_size(field: FieldDescriptor, value: Any) -> int:
    """About how many bytes a field takes."""
    if map_fields(field):
        return sum(len(key) + _value_size(value[key]) for key in value)
    return sum(map(_value_size, value)) if field.is_repeated else _value_size(value)


def _value_size(value: Any) -> int:
    if hasattr(value, "ByteSize"):
        return int(value.ByteSize())
    return len(value) if isinstance(value, str | bytes) else 10


def _sha256(whole: str | bytes) -> str:
    return hashlib.sha256(whole.encode() if isinstance(whole, str) else whole).hexdigest()


def texts_of(message: Any, at: Steps) -> Iterator[Text]:
    """All strings and bytes in a message, with what puts another in their place."""
    kind = message.DESCRIPTOR.full_name
    if kind == "google.protobuf.Value":
        yield from _in_value(message, at)
        return
    if kind == "google.protobuf.Struct":
        for key in message.fields:
            yield from _in_value(message.fields[key], (*at, key))
        return
    for field, value in message.ListFields():
        here = (*at, field.name)
        entry = map_fields(field)
        is_text = (entry[1] if entry else field).type in _TEXTS
        if (entry[1] if entry else field).message_type is None and not is_text:
            continue
        if entry:
            for key in value:
                if is_text:
                    yield Text((*here, key), value[key], _setter(value, key))
                else:
                    yield from texts_of(value[key], (*here, key))
        elif field.is_repeated:
            for index, item in enumerate(value):
                if is_text:
                    yield Text((*here, index), item, _setter(value, index))
                else:
                    yield from texts_of(item, (*here, index))
        elif is_text:
            yield Text(here, value, partial(setattr, message, field.name))
        else:
            yield from texts_of(value, here)


_TEXTS: Final = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)


def _setter(container: Any, key: Any) -> Callable[[Any], None]:
    return lambda text: container.__setitem__(key, text)


def _in_value(value: Any, at: Steps) -> Iterator[Text]:
    match value.WhichOneof("kind"):
        case "string_value":
            yield Text(at, value.string_value, partial(setattr, value, "string_value"))
        case "struct_value":
            yield from texts_of(value.struct_value, at)
        case "list_value":
            for index, item in enumerate(value.list_value.values):
                yield from _in_value(item, (*at, index))
