"""Files, which are uploaded to an address that is valid once and for a while."""

from __future__ import annotations

from typing import Protocol

from spanloom.model.files import File, Upload


class Files(Protocol):
    """Files of projects. All that `ControlStore` promises holds here too."""

    async def add(self, project: str, upload: Upload, *, most: int) -> bool:
        """Note a file whose content is to come; False if the project has `most` files. Uploads that
        have expired are deleted."""
        ...

    async def waits(self, digest: str, content_type: str, now_ns: int) -> bool:
        """Whether `fill` would store a content now."""
        ...

    async def fill(self, digest: str, content_type: str, content: bytes, now_ns: int) -> bool:
        """Store the content of the upload with this digest; False if there is none of this type
        that is valid, or its content is there."""
        ...

    async def find(self, project: str, key: str) -> File | None:
        """A file whose content is there."""
        ...
