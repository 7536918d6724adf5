"""Marks of media: what stands for an image, a recording or a document where only text can.

A mark tells the type, and of content that the client sent itself the size in bytes and the SHA-256.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from urllib.parse import quote

from spanloom.model.genai import MediaPart


def mark_of(part: MediaPart) -> str:
    """The mark in a text: [image/png, 70 bytes, sha256:...], or its address or provider's id."""
    kind = _type_of(part)
    if part.kind != "blob":
        return f"[{kind} {part.value}]"
    content = _content(part.value)
    return f"[{kind}, {len(content)} bytes, sha256:{_digest(content)}]"


def reference_of(part: MediaPart) -> str:
    """The mark among references: an address as it is, file:<id> for a provider's id, else
    attachment:sha256:<digest>?type=<type>&size=<bytes>. AttachmentService has long contents."""
    if part.kind == "uri":
        return part.value
    if part.kind == "file":
        return f"file:{part.value}"
    content = _content(part.value)
    kind = quote(_type_of(part), safe="/+-.")
    return f"attachment:sha256:{_digest(content)}?type={kind}&size={len(content)}"


def _type_of(part: MediaPart) -> str:
    return part.mime_type or part.modality or "file"


def _content(value: str) -> bytes:
    """The bytes that base64 says; of what is none, the text's own."""
    digits = value.translate(_FROM_URLS)
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except (binascii.Error, ValueError):
        return value.encode(errors="surrogatepass")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


_FROM_URLS = str.maketrans({"-": "+", "_": "/", "\n": None, "\r": None, " ": None, "=": None})
