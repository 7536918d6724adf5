"""FileService: what proto/spanloom/v1/file_service.proto promises."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from datetime import UTC, datetime
from typing import Final

from google.api.httpbody_pb2 import HttpBody

from spanloom.codec.json_path import json_path
from spanloom.errors import Code, Reason, SpanloomError, invalid_field, not_found
from spanloom.model import uuid7
from spanloom.model.checks import Violations, possible_id
from spanloom.model.files import Upload
from spanloom.services.attachments import DOWNLOAD_HEADERS
from spanloom.services.context import CallContext
from spanloom.store.control import ControlStore
from spanloom.v1 import file_service_pb2 as pb

# Where the HTTP server takes contents; the rest of the path is the secret.
UPLOADS: Final = "/files/upload/"
MOST_BYTES: Final = 10 * 1024 * 1024
_MOST_FILES: Final = 10_000
_LONGEST_NAME: Final = 256
_LONGEST_TYPE: Final = 128
_SECONDS: Final = 900
_MEDIA_TYPE: Final = re.compile(r"[A-Za-z0-9!#$&^_.+-]+/[A-Za-z0-9!#$&^_.+-]+")


class FileService:
    """Files of datasets.

    Args:
        public_url: The base of the URLs for uploads, "" for the host of the request.
        scheme: That of URLs with the host of the request.
    """

    def __init__(self, store: ControlStore, public_url: str = "", scheme: str = "http") -> None:
        self._store = store
        self._public_url = public_url.rstrip("/")
        self._scheme = scheme

    async def generate_upload_url(
        self, request: pb.GenerateUploadUrlRequest, call: CallContext
    ) -> pb.GenerateUploadUrlResponse:
        project = call.project()
        _check(request)
        base = self._public_url or (call.header_host and f"{self._scheme}://{call.header_host}")
        if not base:
            raise SpanloomError(
                Code.FAILED_PRECONDITION,
                Reason.NO_PUBLIC_URL,
                "the server does not know its address: set SPANLOOM_PUBLIC_URL",
            )
        secret = secrets.token_urlsafe(32)
        now_ns = time.time_ns()
        upload = Upload(
            key=f"file-{uuid7()}",
            name=request.file_name,
            content_type=request.content_type,
            created_ns=now_ns,
            digest=upload_digest(secret),
            expires_ns=now_ns + _SECONDS * 10**9,
        )
        await self._store.ensure_project(project)
        if not await self._store.files.add(project, upload, most=_MOST_FILES):
            why = f"the project has {_MOST_FILES} files, which is the limit"
            raise invalid_field(json_path(type(request))("file_name"), why)
        expires = datetime.fromtimestamp(upload.expires_ns / 1e9, UTC)
        return pb.GenerateUploadUrlResponse(
            upload_url=f"{base}{UPLOADS}{secret}",
            file_key=upload.key,
            expires_at=expires.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            max_size_bytes=MOST_BYTES,
        )

    async def get_file(self, request: pb.GetFileRequest, call: CallContext) -> pb.GetFileResponse:
        project = call.project()
        if not request.file_key:
            raise invalid_field(json_path(type(request))("file_key"), "is required")
        key = request.file_key
        found = await self._store.files.find(project, key) if possible_id(key) else None
        if found is None:
            raise not_found("file", key[:64])
        call.notes.headers.update(DOWNLOAD_HEADERS)
        body = HttpBody(content_type=found.content_type, data=found.content)
        return pb.GetFileResponse(content=body)


def upload_digest(secret: str) -> str:
    """What the store has of the secret of an upload."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _check(request: pb.GenerateUploadUrlRequest) -> None:
    violations = Violations(spelled=json_path(type(request)))
    for field, text, most in (
        ("file_name", request.file_name, _LONGEST_NAME),
        ("content_type", request.content_type, _LONGEST_TYPE),
    ):
        if not text:
            violations.add(field, "is required")
        elif len(text) > most:
            violations.add(field, f"must have at most {most} characters")
        violations.check_text(field, text)
    if request.content_type and not _MEDIA_TYPE.fullmatch(request.content_type):
        violations.add("content_type", "must be a media type such as image/png")
    violations.refuse()
