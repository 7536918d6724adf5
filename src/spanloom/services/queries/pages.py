"""The pages of native lists: their size, and the tokens that continue them."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.message import Message

from spanloom.codec.json_path import json_path
from spanloom.codec.opaque import opened_list
from spanloom.codec.page_token import invalid_page_token
from spanloom.model.checks import Violations
from spanloom.model.paging import clamped_page_size

_MAX_PAGE_SIZE: Final = 1_000


def violations_of(request: Message) -> Violations:
    """Nothing is wrong yet."""
    return Violations(spelled=json_path(type(request)))


def page_size(request: Any, violations: Violations, *, default: int) -> int:
    """The size of the page; a violation where it is negative."""
    return clamped("page_size", request.page_size, violations, default=default)


def clamped(
    name: str, value: int, violations: Violations, *, default: int, maximum: int = _MAX_PAGE_SIZE
) -> int:
    """As `clamped_page_size`, but a violation among others."""
    if value < 0:
        violations.add(name, "must not be negative")
        return default
    return clamped_page_size(name, value, default=default, maximum=maximum)


def list_name(request: Any, *without: str) -> str:
    """The list that a token is of: all fields of the request but those of the page."""
    asked = type(request)()
    asked.CopyFrom(request)
    for name in ("page_size", "page_token", *without):
        asked.ClearField(name)
    return f"{asked.DESCRIPTOR.name} {asked.SerializeToString(deterministic=True).hex()}"


def opened_token(request: Any, named: str, project: str, kinds: tuple[type, ...]) -> list[Any]:
    """The values of the request's page token, of these types. INVALID_PAGE_TOKEN for one of another
    list.
    """
    values = opened_list(request.page_token, named, project, kinds)
    if values is None:
        raise invalid_page_token(json_path(type(request))("page_token"))
    return values
