"""Page tokens of lists that are continued at a position of any kind: numbers and texts.

A token carries a digest of the list, the project and the position, as those of
`spanloom.codec.page_token` do.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import orjson

from spanloom.errors import Reason, invalid_field

_DIGEST_BYTES = 12


def list_name(method: str, request: Any, *ignored: str) -> str:
    """The text that names a list: its method and the fields of its request, but for those that may
    differ between its pages."""
    same = type(request)()
    same.CopyFrom(request)
    for name in ("page_size", "page_token", *ignored):
        same.ClearField(name)
    return method + base64.b64encode(same.SerializeToString(deterministic=True)).decode()


def token_of(name: str, project: str, position: list[Any]) -> str:
    """The token for what follows a position, which is a list of numbers and texts."""
    data = orjson.dumps(position)
    return base64.urlsafe_b64encode(_digest(name, project, data) + data).decode().rstrip("=")


def position_in(token: str, name: str, project: str, kinds: tuple[type, ...], field: str) -> Any:
    """The position that `token_of` made the token of, None for no token.

    Args:
        kinds: The types of the values of a position.

    Raises:
        SpanloomError: INVALID_PAGE_TOKEN for anything that it did not make for this list.
    """
    if not token:
        return None
    try:
        data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        position = orjson.loads(data[_DIGEST_BYTES:])
        is_own = token_of(name, project, position) == token
    except (ValueError, TypeError):
        is_own = False
    if not is_own or tuple(map(type, position)) != kinds:
        raise invalid_field(field, "is not a page token of this list", Reason.INVALID_PAGE_TOKEN)
    return position


def _digest(name: str, project: str, position: bytes) -> bytes:
    head = "\0".join((name, project, "")).encode()
    return hashlib.sha256(head + position).digest()[:_DIGEST_BYTES]
