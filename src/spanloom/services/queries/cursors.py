"""Cursors: positions in the log of changes, as clients keep them."""

from __future__ import annotations

from typing import Final

from spanloom.codec.opaque import opened_list, sealed_list
from spanloom.codec.timestamps import timestamp_from_ns
from spanloom.errors import expired_cursor, invalid_cursor

# The log keeps deletions for longer than a cursor is valid.
VALID_SECONDS: Final = 24 * 3600
_NS: Final = 10**9


def cursor(method: str, project: str, position: int, now_ns: int) -> str:
    """The cursor for a position.

    Args:
        method: The method, and what of the request the cursor is for.
    """
    return sealed_list(method, project, [position, now_ns // _NS])


def position_of_cursor(text: str, method: str, project: str, now_ns: int) -> int:
    """The position of a cursor.

    Raises:
        SpanloomError: INVALID_CURSOR for anything that `cursor` did not make for this method;
            EXPIRED_CURSOR if it is no longer valid.
    """
    values = opened_list(text, method, project, (int, int))
    if values is None:
        raise invalid_cursor("cursor")
    position, issued = values
    oldest = now_ns // _NS - VALID_SECONDS
    if issued < oldest:
        raise expired_cursor(timestamp_from_ns(oldest * _NS).ToJsonString())
    return int(position)
