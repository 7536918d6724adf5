"""AttachmentService: what proto/spanloom/v1/attachment_service.proto promises."""

from __future__ import annotations

import re

from google.api.httpbody_pb2 import HttpBody

from spanloom.codec.json_path import json_path
from spanloom.errors import not_found
from spanloom.model.checks import Violations
from spanloom.services.context import CallContext
from spanloom.store.spans import SpanStore
from spanloom.v1 import attachment_service_pb2

_DIGEST = re.compile("[0-9a-f]{64}")
# Strangers sent the contents: a browser saves them, and runs nothing of them.
DOWNLOAD_HEADERS = {
    "x-content-type-options": "nosniff",
    "content-disposition": "attachment",
    "content-security-policy": "default-src 'none'; sandbox",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "private, max-age=31536000, immutable",
}


class AttachmentService:
    """Long contents of messages."""

    def __init__(self, store: SpanStore) -> None:
        self._store = store

    async def get_attachment(
        self, request: attachment_service_pb2.GetAttachmentRequest, call: CallContext
    ) -> attachment_service_pb2.GetAttachmentResponse:
        project = call.project(request.project)
        path = json_path(type(request))
        violations = Violations()
        digest = request.digest.removeprefix("sha256:")
        if not digest:
            violations.add(path("digest"), "is required")
        elif not _DIGEST.fullmatch(digest):
            violations.add(path("digest"), "is no SHA-256 in lower-case hexadecimal")
        for name in ("offset", "max_bytes"):
            if getattr(request, name) < 0:
                violations.add(path(name), "is negative")
        violations.refuse()
        found = await self._store.find_attachment(project, bytes.fromhex(digest))
        if found is None:
            raise not_found("attachment", digest)
        call.notes.headers.update(DOWNLOAD_HEADERS, etag=f'"{digest}"')
        end = request.offset + request.max_bytes if request.max_bytes else None
        part = found.content[request.offset : end]
        return attachment_service_pb2.GetAttachmentResponse(
            content=HttpBody(content_type=found.media_type, data=part),
            total_bytes=len(found.content),
        )
