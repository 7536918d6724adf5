"""API keys: how one is made, read from text, and checked.

A key is `sl_<id>_<secret>`: a public id of 16 hex digits to find the row by, and 256 random bits
in URL-safe base64. Only the SHA-256 digest of the whole text is stored, so that a stolen database
opens nothing; a plain digest is enough because the secret is random, not chosen.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
import time

from spanloom.errors import invalid_field
from spanloom.model.catalog import Key
from spanloom.model.projects import INSTANCE, checked_project

LONGEST_NAME = 256
ROLES = ("ingest", "read", "review", "admin")
_KEY = re.compile(r"sl_([0-9a-f]{16})_[A-Za-z0-9_-]{43}")


def new_key(
    project: str, role: str, *, name: str = "", expires_ns: int | None = None
) -> tuple[Key, str]:
    """A new key and its text, which is shown once.

    The project "*" makes an instance key, whose role is always admin.

    Raises:
        SpanloomError: INVALID_ARGUMENT for an unknown role, an impossible project or name, or a
            time of expiry that has passed.
    """
    if role not in ROLES:
        raise invalid_field("role", f"{role!r} is not one of {', '.join(ROLES)}")
    if project == INSTANCE:
        if role != "admin":
            raise invalid_field("role", "must be admin for an instance key (project *)")
    else:
        checked_project(project)
    if len(name) > LONGEST_NAME or "\0" in name:
        raise invalid_field("name", f"must have at most {LONGEST_NAME} characters, and no NUL")
    now = time.time_ns()
    if expires_ns is not None and expires_ns <= now:
        raise invalid_field("expires", "must be in the future")
    key_id = secrets.token_hex(8)
    text = f"sl_{key_id}_{secrets.token_urlsafe(32)}"
    key = Key(
        id=key_id,
        project=project,
        role=role,
        digest=_digest(text),
        created_ns=now,
        name=name,
        expires_ns=expires_ns,
    )
    return key, text


def successor(key: Key, salt: str, proof: bytes) -> tuple[Key, str]:
    """A new key with the project, the role and the name of another, and its text.

    The text follows from the new id, the salt and the proof (`text_of`). The new key is valid for
    as long as the other one was made for.
    """
    now = time.time_ns()
    key_id = secrets.token_hex(8)
    text = text_of(key_id, salt, proof)
    lifetime = None if key.expires_ns is None else key.expires_ns - key.created_ns
    made = Key(
        id=key_id,
        project=key.project,
        role=key.role,
        digest=_digest(text),
        created_ns=now,
        name=key.name,
        expires_ns=None if lifetime is None else now + lifetime,
    )
    return made, text


def text_of(key_id: str, salt: str, proof: bytes) -> str:
    """The text of a key whose secret follows from a salt and from what its maker alone has."""
    secret = hmac.digest(proof, f"{key_id}.{salt}".encode(), "sha256")
    return f"sl_{key_id}_{base64.urlsafe_b64encode(secret).decode().rstrip('=')}"


def is_text_of(key: Key, text: str) -> bool:
    """Whether the text is this key, valid or not. The time does not depend on where they differ."""
    return hmac.compare_digest(key.digest, _digest(text))


def key_id(text: str) -> str | None:
    """The id in a key's text; None if the text cannot be a key."""
    match = _KEY.fullmatch(text)
    return match and match[1]


def opens(key: Key, text: str) -> bool:
    """Whether the text is this key, and the key is neither revoked nor expired."""
    return is_text_of(key, text) and key.revoked_ns is None and not is_expired(key)


def is_expired(key: Key) -> bool:
    """Whether the key's time of expiry has passed."""
    return key.expires_ns is not None and time.time_ns() >= key.expires_ns


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
