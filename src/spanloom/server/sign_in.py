"""Sign-in of people: tickets that follow from an API key, and links that are used once.

A ticket is `slt_<key id>_<expiry>_<signature>`. The signature is made with the stored digest of
the key, so tickets need no table, and end with the key. The key itself does not stay in the
browser. A link holds a random token; the store keeps its digest until the link is used.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from typing import Final, Protocol

from spanloom.model import Key, SignInLink
from spanloom.model.api_keys import is_expired
from spanloom.model.projects import INSTANCE

TICKET_SECONDS: Final = 7 * 24 * 3600
LINK_SECONDS: Final = 10 * 60
_TICKET = re.compile(r"slt_([0-9a-f]{16})_([0-9]{1,12})_([0-9a-f]{64})")
_PURPOSE: Final = b"spanloom ticket 1"


def new_ticket(key: Key, now: float) -> str:
    """The text of a ticket of the key. `now`: Unix time in seconds."""
    expiry = int(now) + TICKET_SECONDS
    return f"slt_{key.id}_{expiry}_{_signature(key, expiry)}"


def ticket_key_id(text: str) -> str | None:
    """The id of the key in a ticket's text; None if the text cannot be a ticket."""
    match = _TICKET.fullmatch(text)
    return match and match[1]


def ticket_opens(key: Key, text: str, now: float) -> bool:
    """Whether the text is a ticket of this key, and neither it nor the key has ended."""
    match = _TICKET.fullmatch(text)
    if match is None or match[1] != key.id or key.revoked_ns is not None or is_expired(key):
        return False
    expiry = int(match[2])
    return hmac.compare_digest(match[3], _signature(key, expiry)) and now < expiry


def new_link(key_id: str, now: float) -> tuple[SignInLink, str]:
    """A new link for the key, and its token, which is shown once."""
    token = secrets.token_urlsafe(32)
    expires_ns = (int(now) + LINK_SECONDS) * 10**9
    return SignInLink(digest=link_digest(token), key_id=key_id, expires_ns=expires_ns), token


class LinkStore(Protocol):
    async def list_keys(self) -> list[Key]: ...

    async def add_sign_in_link(self, link: SignInLink) -> None: ...


async def link_token(store: LinkStore) -> str | None:
    """The token of a new link for the newest valid instance key, if there is one."""
    keys = [
        key
        for key in await store.list_keys()
        if key.project == INSTANCE and key.revoked_ns is None and not is_expired(key)
    ]
    if not keys:
        return None
    link, token = new_link(keys[-1].id, time.time())
    await store.add_sign_in_link(link)
    return token


def link_digest(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _signature(key: Key, expiry: int) -> str:
    secret = hmac.digest(key.digest.encode(), _PURPOSE, "sha256")
    return hmac.new(secret, f"{key.id}.{expiry}".encode(), "sha256").hexdigest()
