"""Page tokens (AIP-158) of lists ordered by a time and an id: where the next page begins.

A token carries a digest of the query, the project and the position, so that a token of another list
or project, or a changed one, is recognized. The digest needs no secret: a position gives access to
nothing that the list itself does not give.
"""

from __future__ import annotations

import base64
import hashlib

import orjson

from spanloom.errors import Reason, invalid_field
from spanloom.model.checks import possible_id

_DIGEST_BYTES = 12
_TIME_BYTES = 8


def list_query(list_name: str, /, **conditions: str | float | None) -> str:
    """The text that names a list and its conditions.

    Conditions that are not set (None, "", 0) are left out: one that is added later does not void
    the tokens of lists without it.
    """
    given = {key: value for key, value in conditions.items() if value}
    return list_name + orjson.dumps(given, option=orjson.OPT_SORT_KEYS).decode()


def page_token(query: str, project: str, after: tuple[int, str]) -> str:
    """The token for what follows an item.

    Args:
        query: The list and its conditions, as `list_query` names them.
        after: The item's time, in nanoseconds, and its id.
    """
    time_ns, item_id = after
    position = time_ns.to_bytes(_TIME_BYTES, signed=True) + item_id.encode()
    return (
        base64.urlsafe_b64encode(_digest(query, project, position) + position).decode().rstrip("=")
    )


def position_of(
    token: str, query: str, project: str, *, field: str = "pageToken"
) -> tuple[int, str]:
    """The item that `page_token` made the token for.

    Raises:
        SpanloomError: INVALID_PAGE_TOKEN for anything that it did not make for this query.
    """
    refused = invalid_field(field, "not a token of this list", Reason.INVALID_PAGE_TOKEN)
    try:
        data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        position = data[_DIGEST_BYTES:]
        item_id = position[_TIME_BYTES:].decode()
    except ValueError:  # not base64, or not UTF-8
        raise refused from None
    after = int.from_bytes(position[:_TIME_BYTES], signed=True), item_id
    # Made again and compared as a whole: the same bytes have other spellings in base64.
    if not possible_id(item_id) or page_token(query, project, after) != token:
        raise refused
    return after


def _digest(query: str, project: str, position: bytes) -> bytes:
    head = "\0".join((query, project, "")).encode()
    return hashlib.sha256(head + position).digest()[:_DIGEST_BYTES]
