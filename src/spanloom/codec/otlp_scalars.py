"""Scalars of OTLP/JSON, as senders write them."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable
from typing import Any, Final

from google.protobuf.descriptor import EnumDescriptor, FieldDescriptor

from spanloom.model import Json

_F = FieldDescriptor
RANGES: Final = {
    _F.TYPE_INT32: (-(2**31), 2**31 - 1),
    _F.TYPE_INT64: (-(2**63), 2**63 - 1),
    _F.TYPE_UINT32: (0, 2**32 - 1),
    _F.TYPE_FIXED32: (0, 2**32 - 1),
    _F.TYPE_UINT64: (0, 2**64 - 1),
    _F.TYPE_FIXED64: (0, 2**64 - 1),
}


class ViolationError(ValueError):
    """What is wrong with a value; `path` grows towards the root of the document."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.path: list[str] = []

    def below(self, segment: str) -> ViolationError:
        """The same, with one more segment of its path."""
        self.path.append(segment)
        return self


def id_reader(size: int) -> Callable[[Json], bytes]:
    """An id in hex or in base64; its length tells which."""
    base64_length = 4 * math.ceil(size / 3)

    def read(value: Json) -> bytes:
        if type(value) is not str:
            raise ViolationError("must be an id in hex")
        try:
            return bytes.fromhex(value)
        except ValueError:
            if len(value) == base64_length:
                return _bytes(value)
            raise ViolationError("must be an id in hex") from None

    return read


def enum_reader(enum: EnumDescriptor) -> Callable[[Json], int]:
    """An enum by number or name; a word that it has not is its zero."""
    integer = integer_reader(*RANGES[_F.TYPE_INT32])
    numbers = {value.name: value.number for value in enum.values}
    # What all names begin with, as STATUS_CODE_: senders leave it out.
    first, last = min(numbers), max(numbers)
    prefix = first[: next(n for n, c in enumerate(first) if last[n : n + 1] != c)]
    numbers |= {name.removeprefix(prefix): number for name, number in numbers.items()}

    def read(value: Json) -> int:
        if type(value) is str and (number := numbers.get(value.upper())) is not None:
            return number
        try:
            return integer(value)
        except ViolationError:
            if type(value) is str:
                return 0
            raise ViolationError("must be an integer or a name") from None

    return read


def lenient_reader(least: int, most: int, *, is_count: bool) -> Callable[[Json], int]:
    """Integers beside attributes: an empty text is none, a count out of range the nearest one."""
    read_exactly = integer_reader(-math.inf if is_count else least, math.inf if is_count else most)

    def read(value: Json) -> int:
        if value == "":
            return 0
        return max(least, min(read_exactly(value), most))

    return read


def integer_reader(least: float, most: float) -> Callable[[Json], int]:
    """Integers within limits, as numbers or text."""

    def read(value: Json) -> int:
        if type(value) is str:
            try:
                value = int(value) if value.isascii() and len(value) <= 24 else None
            except ValueError:
                value = None
        elif type(value) is float and value.is_integer():
            value = int(value)
        if type(value) is not int:
            raise ViolationError("must be an integer")
        if not least <= value <= most:
            raise ViolationError(f"must be from {least} to {most}")
        return value

    return read


def string(value: Json) -> str:
    """A text, with U+FFFD in place of lone surrogates."""
    if type(value) is not str:
        raise ViolationError("must be a string")
    return value if value.isascii() else _well_formed(value)


def _well_formed(value: str) -> str:
    """The text with U+FFFD in place of lone surrogates."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return value


def _boolean(value: Json) -> bool:
    if type(value) is not bool:
        raise ViolationError("must be true or false")
    return value


def _double(value: Json) -> float:
    if type(value) is str:
        try:
            value = float(value)
        except ValueError:
            value = None
    if type(value) not in (int, float):
        raise ViolationError("must be a number")
    try:
        return float(value)
    except OverflowError:
        raise ViolationError("is out of the range of a double") from None


def _bytes(value: Json) -> bytes:
    text = string(value).replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ViolationError("must be base64") from None


SCALARS: Final[dict[int, Callable[[Json], Any]]] = {
    _F.TYPE_STRING: string,
    _F.TYPE_BOOL: _boolean,
    _F.TYPE_DOUBLE: _double,
    _F.TYPE_BYTES: _bytes,
}
