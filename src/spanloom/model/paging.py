"""The size and the offset of a page of a list."""

from __future__ import annotations

from spanloom.errors import invalid_field


def clamped_page_size(field: str, value: int, *, default: int, maximum: int) -> int:
    """The size of a page: 0 means the default, and a larger value than `maximum` is reduced to it.

    Raises:
        SpanloomError: INVALID_ARGUMENT for a negative value.
    """
    return min(not_negative(field, value) or default, maximum)


def bounded_limit(value: int | None, *, default: int, maximum: int) -> int:
    """The number of rows to return, which may be 0; None means the default.

    Raises:
        SpanloomError: INVALID_ARGUMENT for a value that is not from 0 to `maximum`.
    """
    return default if value is None else _bounded("limit", value, maximum)


def bounded_offset(value: int, *, maximum: int) -> int:
    """The number of rows to skip.

    Raises:
        SpanloomError: INVALID_ARGUMENT for a value that is not from 0 to `maximum`.
    """
    return _bounded("offset", value, maximum)


def not_negative(field: str, value: int) -> int:
    if value < 0:
        raise invalid_field(field, "must not be negative")
    return value


def _bounded(field: str, value: int, maximum: int) -> int:
    if not 0 <= value <= maximum:
        raise invalid_field(field, f"must be from 0 to {maximum}")
    return value
