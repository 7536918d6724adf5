"""Texts in HTTP headers and gRPC metadata."""

from __future__ import annotations


def as_text(value: bytes) -> str:
    """The text in a header's bytes: UTF-8 if it is valid, else Latin-1 (RFC 9110, 5.5)."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
