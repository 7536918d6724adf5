"""Protobuf messages whose strings are not UTF-8, as a text that was cut within a character."""

from __future__ import annotations

from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError

from spanloom.codec.varint import read_varint, varint

_MOST_LEVELS = 100  # as the runtime reads


def mended(data: bytes, descriptor: Any) -> bytes:
    """The message with U+FFFD in place of what is not UTF-8 in its strings.

    Raises:
        DecodeError: The data is not a message in protobuf's wire format.
    """
    try:
        return _mended(data, descriptor, _MOST_LEVELS)
    except IndexError:
        raise DecodeError("truncated") from None


def _mended(data: bytes, descriptor: Any, levels: int) -> bytes:
    if not levels:
        raise DecodeError("nested too deeply")
    out = bytearray()
    at = 0
    while at < len(data):
        start = at
        tag, at = read_varint(data, at)
        kind = tag & 7
        if kind == 0:
            _, at = read_varint(data, at)
        elif kind in (1, 5):
            at += 8 if kind == 1 else 4
        elif kind == 2:
            size, begin = read_varint(data, at)
            at = begin + size
            field = descriptor.fields_by_number.get(tag >> 3)
            if at > len(data):
                raise DecodeError("truncated")
            if field is not None and field.type in (
                FieldDescriptor.TYPE_STRING,
                FieldDescriptor.TYPE_MESSAGE,
            ):
                inner = data[begin:at]
                if field.message_type is not None:
                    inner = _mended(inner, field.message_type, levels - 1)
                else:
                    inner = inner.decode(errors="replace").encode()
                out += varint(tag) + varint(len(inner)) + inner
                continue
        else:
            raise DecodeError("a group")
        if at > len(data):
            raise DecodeError("truncated")
        out += data[start:at]
    return bytes(out)
