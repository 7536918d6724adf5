"""Large protobuf messages read in steps: the runtime holds the interpreter's lock meanwhile."""

from __future__ import annotations

from typing import Final

from google.protobuf.message import DecodeError, Message

_STEP: Final = 1 << 18
# So many levels are read in steps; what is large further down is one step.
_LEVELS: Final = 6


def merge(message: Message, data: bytes | memoryview, *, levels: int = _LEVELS) -> None:
    """As `message.MergeFromString`, about a quarter of a megabyte at a time.

    A field that is itself a large message is merged in the same way: protobuf defines a message
    whose bytes come in parts as the merge of the parts.

    Raises:
        DecodeError: The data is not a message of this type.
    """
    if len(data) <= _STEP or not levels:
        message.MergeFromString(bytes(data))
        return
    view = memoryview(data)
    inner = {
        field.number: field
        for field in message.DESCRIPTOR.fields
        if field.message_type is not None and not field.message_type.GetOptions().map_entry
    }
    merged = at = 0
    while at < len(view):
        start = at
        tag, at = _varint(view, at)
        match tag & 7:
            case 0:
                _, at = _varint(view, at)
            case 1:
                at += 8
            case 2:
                size, at = _varint(view, at)
                field = inner.get(tag >> 3)
                if size > _STEP and field is not None and at + size <= len(view):
                    message.MergeFromString(bytes(view[merged:start]))
                    holder = getattr(message, field.name)
                    part = holder.add() if field.is_repeated else holder
                    part.SetInParent()
                    merge(part, view[at : at + size], levels=levels - 1)
                    merged = at + size
                at += size
            case 5:
                at += 4
            case _:  # a group, or no valid tag: the runtime decides
                break
        if at - merged > _STEP:
            message.MergeFromString(bytes(view[merged:at]))
            merged = at
    message.MergeFromString(bytes(view[merged:]))


def _varint(view: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(view) or shift > 63:
            raise DecodeError("truncated")
        byte = view[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
        shift += 7
