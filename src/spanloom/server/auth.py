"""Authentication: who calls, by the API key in a call's metadata."""

from __future__ import annotations

import base64
import hmac
import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from spanloom.errors import Code, Reason, SpanloomError
from spanloom.model import Key, api_keys
from spanloom.model.addresses import is_loopback
from spanloom.model.caller import CALLER
from spanloom.model.projects import INSTANCE
from spanloom.server.metadata import PEER
from spanloom.server.sign_in import ticket_key_id, ticket_opens

# A revoked key is refused everywhere within this time; a valid one costs no query in between.
CACHE_SECONDS = 1.0
_CACHE_SIZE = 10_000
_MINUTE = 60.0
_PURPOSE = b"spanloom proof 1"
_HOST = re.compile(r"(?:\[([^\]]*)\]|([^:@]*))(?::\d*)?")


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller: the project of its key ("*" for an instance key), its role, and
    without `--no-auth` the id of the key, and bytes that follow from the key alone."""

    project: str
    role: str
    key_id: str = ""
    proof: bytes = field(default=b"", repr=False)

    @property
    def caller(self) -> str:
        """As `spanloom.model.caller`."""
        return self.key_id if self.project == INSTANCE else self.project


class Authenticator(Protocol):
    # Whether callers need no key, so that what a web page can send must be refused otherwise.
    needs_no_key: bool

    def known(self, metadata: Mapping[str, str]) -> Principal | None:
        """The caller, if that can be said at once; otherwise `authenticate` says it."""
        ...

    async def authenticate(self, metadata: Mapping[str, str]) -> Principal:
        """The caller.

        Args:
            metadata: HTTP headers or gRPC metadata, names in lower case.

        Raises:
            SpanloomError: UNAUTHENTICATED if there is no key, or none that is valid;
                PERMISSION_DENIED if a page of another site made the request.
        """
        ...


class KeyStore(Protocol):
    async def find_key(self, key_id: str) -> Key | None: ...


class Guesses:
    """How many keys that are not valid each address has sent in the last minute.

    Args:
        most: So many are looked up.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        # By address, oldest minute first: when the minute began, and the number.
        self._failed: dict[str, tuple[float, int]] = {}

    def check(self, address: str) -> None:
        """Refuse an address that has sent too many.

        Raises:
            SpanloomError: RESOURCE_EXHAUSTED.
        """
        since, failed = self._failed.get(address, (0.0, 0))
        left = since + _MINUTE - time.monotonic()
        if failed >= self._most and left > 0:
            raise SpanloomError(
                Code.RESOURCE_EXHAUSTED,
                Reason.QUEUE_FULL,
                f"this address has sent {self._most} API keys that are not valid within a minute;"
                " retry later",
                metadata={"limit_failed_keys": str(self._most)},
                retry_after=left,
            )

    def failed(self, address: str) -> None:
        """Count a key that is not valid."""
        now = time.monotonic()
        since, failed = self._failed.get(address, (now, 0))
        if since + _MINUTE <= now:
            self._failed.pop(address)
            since, failed = now, 0
        elif not failed and len(self._failed) >= _CACHE_SIZE:
            del self._failed[next(iter(self._failed))]
        self._failed[address] = since, failed + 1


class ApiKeyAuthenticator:
    """Knows callers by their key.

    It is read from `Authorization: Bearer <key>`, `Authorization: Basic base64(<any user>:<key>)`
    or `wandb-api-key: <key>`. A ticket (`sign_in`) may take the place of the key.

    Args:
        max_failed_keys: Of one address in a minute.
        used: Is called with the id of a key whenever it is used.
    """

    needs_no_key = False

    def __init__(
        self,
        store: KeyStore,
        max_failed_keys: int = 1000,
        used: Callable[[str], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._used = used
        self._guesses = Guesses(max_failed_keys)
        self._known: dict[str, tuple[float, Principal]] = {}

    def known(self, metadata: Mapping[str, str]) -> Principal | None:
        scheme, _, text = metadata.get("authorization", "").partition(" ")
        known = self._known.get(text) if scheme == "Bearer" else None
        if known is None or known[0] <= time.monotonic():
            return None
        self._used(known[1].key_id)
        return known[1]

    async def authenticate(self, metadata: Mapping[str, str]) -> Principal:
        text = _key_text(metadata)
        now = time.monotonic()
        known = self._known.get(text)
        if known and known[0] > now:
            self._used(known[1].key_id)
            return known[1]
        # Whoever guesses keys takes turns with other addresses, and no turn of a key that was
        # valid before.
        guesser = "" if known else metadata.get(PEER, "")
        if guesser:
            self._guesses.check(guesser)
        token = CALLER.set(guesser)
        try:
            key = await valid_key(self._store, text)
        finally:
            CALLER.reset(token)
        if key is None:
            self._known.pop(text, None)
            if guesser:
                self._guesses.failed(guesser)
            raise SpanloomError(
                Code.UNAUTHENTICATED, Reason.INVALID_CREDENTIALS, "the API key is not valid"
            )
        if len(self._known) >= _CACHE_SIZE:
            self._known.clear()
        proof = hmac.digest(text.encode(), _PURPOSE, "sha256")
        principal = Principal(key.project, key.role, key.id, proof)
        self._used(key.id)
        self._known[text] = (now + CACHE_SECONDS, principal)
        return principal


async def valid_key(store: KeyStore, text: str) -> Key | None:
    """The key of which the text is the secret or a ticket, if it is valid."""
    key_id = api_keys.key_id(text) or ticket_key_id(text)
    key = await store.find_key(key_id) if key_id else None
    if key and (api_keys.opens(key, text) or ticket_opens(key, text, time.time())):
        return key
    return None


class NoAuth:
    """`--no-auth` (loopback only): every caller may do everything, as with an instance key.

    Web pages that a browser on this machine shows are no such callers: they could send requests to
    this server, directly (then `Origin` names their site) or by a name of theirs that leads to this
    machine (then `Host` does).

    Args:
        origins: Other origins whose pages may call, like `https://app.example`; "*" for all.
    """

    needs_no_key = True

    def __init__(self, origins: Collection[str] = ()) -> None:
        self._origins = frozenset(origins)

    def known(self, metadata: Mapping[str, str]) -> Principal | None:
        return None  # the headers have to be looked at

    async def authenticate(self, metadata: Mapping[str, str]) -> Principal:
        origin = metadata.get("origin", "")
        if origin and not self._is_ours(origin):
            raise _foreign("origin", origin)
        host = metadata.get("host", "")
        if host and not is_loopback(without_port(host)):
            raise _foreign("host", host)
        return Principal(INSTANCE, "admin")

    def _is_ours(self, origin: str) -> bool:
        if origin in self._origins or "*" in self._origins:
            return True
        return is_loopback(without_port(origin.partition("://")[2]))


def without_port(host: str) -> str:
    """The name or address in `HOST`, `HOST:PORT` or `[IPV6]:PORT`; "" for anything else."""
    match = _HOST.fullmatch(host)
    return (match[1] or match[2]) if match else ""


def _foreign(header: str, value: str) -> SpanloomError:
    return SpanloomError(
        Code.PERMISSION_DENIED,
        Reason.FOREIGN_SITE,
        f"this server needs no key, so it answers only what this machine itself sends:"
        f" the header {header} names another ({value[:100]!r})",
        metadata={"header": header, "value": value[:100]},
    )


def _key_text(metadata: Mapping[str, str]) -> str:
    # The variables of OpenTelemetry are percent-encoded, and some senders do not decode them.
    header = metadata.get("authorization", "").replace("%20", " ", 1)
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
