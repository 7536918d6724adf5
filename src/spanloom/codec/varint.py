"""Protobuf's base-128 integers."""

from __future__ import annotations

# Below this the bytes come from a table: most lengths and tags are small.
SMALL = 2048


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


VARINTS = [_varint(number) for number in range(SMALL)]


def varint(number: int) -> bytes:
    """The bytes of a non-negative integer."""
    if number < SMALL:
        return VARINTS[number]
    return _varint(number)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """The integer at `at`, and where the bytes after it begin."""
    byte = data[at]
    if byte < 128:
        return byte, at + 1
    number, shift = byte & 127, 7
    while True:
        at += 1
        byte = data[at]
        number |= (byte & 127) << shift
        if byte < 128:
            return number, at + 1
        shift += 7
