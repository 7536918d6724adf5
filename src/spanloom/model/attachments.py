"""Attachments: long contents of messages, such as images, which the store keeps once a project."""

from __future__ import annotations

from typing import NamedTuple


class Attachment(NamedTuple):
    """A content and its type.

    Attributes:
        media_type: As the message told it that brought the content first, else what the content
            shows.
    """

    media_type: str
    content: bytes
