"""Texts that clients only pass on: page tokens and cursors.

A text carries a digest of its purpose, the project and its content, so that one of another list or
project, or a changed one, is recognized. The digest needs no secret: the content gives access to
nothing that the list itself does not give. So whoever knows the format can make texts of any
content, which is checked as everything that clients send.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Any

import orjson

_DIGEST_BYTES = 12


def sealed(purpose: str, project: str, content: bytes) -> str:
    """The text that carries a content."""
    data = _digest(purpose, project, content) + content
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def opened(text: str, purpose: str, project: str) -> bytes | None:
    """The content of a text; None for anything that `sealed` did not make for this purpose."""
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:
        return None
    content = data[_DIGEST_BYTES:]
    # Made again and compared as a whole: the same bytes have other spellings in base64.
    return content if sealed(purpose, project, content) == text else None


def sealed_list(purpose: str, project: str, values: Sequence[Any]) -> str:
    """The text that carries numbers and texts."""
    return sealed(purpose, project, orjson.dumps([*values]))


def opened_list(text: str, purpose: str, project: str, kinds: tuple[type, ...]) -> list[Any] | None:
    """The values of a text that `sealed_list` may have made; None for every other.

    Args:
        kinds: The types of the values, in their order.
    """
    content = opened(text, purpose, project)
    try:
        values = None if content is None else orjson.loads(content)
    except ValueError:
        return None
    is_possible = (
        isinstance(values, list)
        and tuple(map(type, values)) == kinds
        and all(map(_can_be_stored, values))
    )
    return values if is_possible else None


def _can_be_stored(value: Any) -> bool:
    """Whether the databases can compare with a value."""
    if isinstance(value, str):
        return "\0" not in value
    return not isinstance(value, int) or -(2**63) <= value < 2**63


def _digest(purpose: str, project: str, content: bytes) -> bytes:
    head = "\0".join((purpose, project, "")).encode()
    return hashlib.sha256(head + content).digest()[:_DIGEST_BYTES]
