"""The size and the place of a page of a list."""

from __future__ import annotations

from spanloom.errors import invalid_field


def page_size(field: str, asked: int, *, default: int, most: int) -> int:
    """0 is the default, more than `most` is `most`; INVALID_ARGUMENT for a negative one."""
    return min(not_negative(field, asked) or default, most)


def row_limit(asked: int | None, *, default: int, most: int) -> int:
    """A limit from 0 to `most`, INVALID_ARGUMENT for any other; None is the default."""
    if asked is None:
        return default
    if not 0 <= asked <= most:
        raise invalid_field("limit", f"must be from 0 to {most}")
    return asked


def bounded_offset(offset: int, *, most: int) -> int:
    """An offset from 0 to `most`; INVALID_ARGUMENT for any other."""
    if not 0 <= offset <= most:
        raise invalid_field("offset", f"must be from 0 to {most}")
    return offset


def not_negative(field: str, value: int) -> int:
    if value < 0:
        raise invalid_field(field, "must not be negative")
    return value
