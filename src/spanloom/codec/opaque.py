"""Texts that clients only pass on: page tokens and cursors.

A text carries a digest of its purpose, the project and its content, so that one of another list or
project, or a changed one, is recognized. The digest needs no secret: the content gives access to
nothing that the list itself does not give.
"""

from __future__ import annotations

import base64
import hashlib

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


def _digest(purpose: str, project: str, content: bytes) -> bytes:
    head = "\0".join((purpose, project, "")).encode()
    return hashlib.sha256(head + content).digest()[:_DIGEST_BYTES]
