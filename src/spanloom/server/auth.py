"""Authentication: who calls, by the API key in a call's metadata."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from spanloom.errors import Code, Reason, SpanloomError
from spanloom.model import Key, api_keys
from spanloom.model.projects import INSTANCE

# A revoked key is refused everywhere within this time; a valid one costs no query in between.
CACHE_SECONDS = 1.0
_CACHE_SIZE = 10_000


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller: the project of its key ("*" for an instance key), and its role."""

    project: str
    role: str


class Authenticator(Protocol):
    async def authenticate(self, metadata: Mapping[str, str]) -> Principal:
        """The caller.

        Args:
            metadata: HTTP headers or gRPC metadata, names in lower case.

        Raises:
            SpanloomError: UNAUTHENTICATED if there is no key, or none that is valid.
        """
        ...


class KeyStore(Protocol):
    async def find_key(self, key_id: str) -> Key | None: ...


class ApiKeyAuthenticator:
    """Knows callers by their key.

    It is read from `Authorization: Bearer <key>`, `Authorization: Basic base64(<any user>:<key>)`
    or `wandb-api-key: <key>`.
    """

    def __init__(self, store: KeyStore) -> None:
        self._store = store
        self._known: dict[str, tuple[float, Principal]] = {}

    async def authenticate(self, metadata: Mapping[str, str]) -> Principal:
        text = _key_text(metadata)
        now = time.monotonic()
        known = self._known.get(text)
        if known and known[0] > now:
            return known[1]
        key_id = api_keys.key_id(text)
        key = await self._store.find_key(key_id) if key_id else None
        if key is None or not api_keys.opens(key, text):
            self._known.pop(text, None)
            raise SpanloomError(
                Code.UNAUTHENTICATED, Reason.INVALID_CREDENTIALS, "the API key is not valid"
            )
        if len(self._known) >= _CACHE_SIZE:
            self._known.clear()
        principal = Principal(key.project, key.role)
        self._known[text] = (now + CACHE_SECONDS, principal)
        return principal


class NoAuth:
    """`--no-auth` (loopback only): every caller may do everything, as with an instance key."""

    async def authenticate(self, metadata: Mapping[str, str]) -> Principal:
        return Principal(INSTANCE, "admin")


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
