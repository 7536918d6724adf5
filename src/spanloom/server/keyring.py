"""Who is calling: reads the key from a call's metadata and looks it up."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from typing import Protocol

from spanloom.errors import Code, Reason, SpanloomError
from spanloom.model import Key
from spanloom.services import keys
from spanloom.services.context import INSTANCE

# A revoked key is refused everywhere within this time; a good one costs no query in between.
CACHE_SECONDS = 1.0
_CACHE_SIZE = 10_000


class KeyStore(Protocol):
    async def find_key(self, key_id: str) -> Key | None: ...


class KeyRing:
    """Turns metadata into (project, role). `Authorization: Bearer <key>`, `Basic base64(<any user>:<key>)`, or
    `wandb-api-key: <key>`; gRPC metadata alike. UNAUTHENTICATED without a key or with one that opens nothing."""

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._known: dict[str, tuple[float, str, str]] = {}

    async def who(self, metadata: Mapping[str, str]) -> tuple[str, str]:
        text = _key_text(metadata)
        now = time.monotonic()
        known = self._known.get(text)
        if known and known[0] > now:
            return known[1], known[2]
        key_id = keys.key_id(text)
        key = await self._store.find_key(key_id) if key_id else None
        if key is None or not keys.opens(key, text):
            self._known.pop(text, None)
            raise SpanloomError(
                Code.UNAUTHENTICATED, Reason.INVALID_CREDENTIALS, "the API key is not valid"
            )
        if len(self._known) >= _CACHE_SIZE:
            self._known.clear()
        self._known[text] = (now + CACHE_SECONDS, key.project, key.role)
        return key.project, key.role


class OpenDoor:
    """No authentication (`--no-auth`, loopback only): every caller may do everything, as with an instance key."""

    async def who(self, metadata: Mapping[str, str]) -> tuple[str, str]:
        return INSTANCE, "admin"


def _key_text(metadata: Mapping[str, str]) -> str:
    header = metadata.get("authorization", "")
    scheme, _, credentials = header.strip().partition(" ")
    credentials = credentials.strip()
    if scheme.lower() == "bearer" and credentials:
        return credentials
    if scheme.lower() == "basic" and credentials:
        return _basic_password(credentials)
    key = metadata.get("wandb-api-key", "").strip()
    if key:
        return key
    if header:
        raise SpanloomError(
            Code.UNAUTHENTICATED,
            Reason.INVALID_CREDENTIALS,
            "Authorization must be `Bearer <key>` or `Basic base64(<user>:<key>)`",
        )
    raise SpanloomError(
        Code.UNAUTHENTICATED,
        Reason.MISSING_CREDENTIALS,
        "send an API key: Authorization: Bearer <key>",
    )


def _basic_password(credentials: str) -> str:
    try:
        return base64.b64decode(credentials, validate=True).decode().partition(":")[2]
    except ValueError:  # not base64, or not UTF-8
        return ""
