"""Files of datasets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class File:
    """A file whose content is there."""

    name: str
    content_type: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Upload:
    """A file whose content is to come.

    Attributes:
        digest: Of the secret that the upload's URL has.
        expires_ns: When the URL is not valid any more, in nanoseconds since 1970.
    """

    key: str
    name: str
    content_type: str
    created_ns: int
    digest: str
    expires_ns: int
