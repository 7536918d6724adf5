"""Page tokens of lists that are continued at a position of any kind: numbers and texts."""

from __future__ import annotations

import base64
from typing import Any

from spanloom.codec.opaque import opened_list, sealed_list
from spanloom.errors import Reason, invalid_field


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
    return sealed_list(name, project, position)


def position_in(token: str, name: str, project: str, kinds: tuple[type, ...], field: str) -> Any:
    """The position that `token_of` made the token of, None for no token.

    Args:
        kinds: The types of the values of a position.

    Raises:
        SpanloomError: INVALID_PAGE_TOKEN for anything that it cannot have made for this list.
    """
    if not token:
        return None
    position = opened_list(token, name, project, kinds)
    if position is None:
        raise invalid_field(field, "is not a page token of this list", Reason.INVALID_PAGE_TOKEN)
    return position
