"""The errors of Spanloom: one class, a code, a reason, and what the caller can do about it.

Codes are the canonical names of google.rpc.Code; reasons are the value names of `spanloom.v1.ErrorReason`
(proto/spanloom/v1/error_reason.proto), without their `ERROR_REASON_` prefix here. `server/status.py` alone
knows how a code is written on the wire.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Violation:
    """One thing wrong with a request: `field` is a path like `events[3].event_type` in the request's JSON names."""

    field: str
    description: str


class SpanloomError(Exception):
    """What a caller is told. The text is for people; `code` and `reason` are for programs.

    `retry_after` (seconds) is sent with RESOURCE_EXHAUSTED and UNAVAILABLE. `metadata` holds facts about the
    refusal (a limit, the id that was not found); never secrets, never an inner exception's text.
    """

    def __init__(
        self,
        code: str,
        reason: str,
        message: str,
        *,
        violations: Sequence[Violation] = (),
        metadata: Mapping[str, str] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason
        self.message = message
        self.violations = tuple(violations)
        self.metadata = dict(metadata or {})
        self.retry_after = retry_after


class SetupError(ValueError):
    """The program was set up in a way that cannot work: a setting, an address, a database.

    The text is one line for whoever runs the program, never for a caller, and holds no password.
    """


def invalid(violations: Sequence[Violation], reason: str = "INVALID_FIELD") -> SpanloomError:
    """INVALID_ARGUMENT that names every violation; the message repeats the first few for clients that print only that."""
    shown = "; ".join(
        f"{v.field}: {v.description}" if v.field else v.description for v in violations[:3]
    )
    more = f" (and {len(violations) - 3} more)" if len(violations) > 3 else ""
    return SpanloomError("INVALID_ARGUMENT", reason, shown + more, violations=violations)


def invalid_field(field: str, description: str, reason: str = "INVALID_FIELD") -> SpanloomError:
    """INVALID_ARGUMENT for one field."""
    return invalid([Violation(field, description)], reason)


def not_found(noun: str, name: str) -> SpanloomError:
    """NOT_FOUND; the reason is `<NOUN>_NOT_FOUND`."""
    return SpanloomError(
        "NOT_FOUND",
        f"{noun.upper()}_NOT_FOUND",
        f"no {noun} {name!r} in this project",
        metadata={"resource": noun, "name": name},
    )


def queue_full(retry_after: float = 1.0) -> SpanloomError:
    """RESOURCE_EXHAUSTED: the bounded write queue is full; nothing of the request was stored."""
    return SpanloomError(
        "RESOURCE_EXHAUSTED",
        "QUEUE_FULL",
        "the write queue is full; nothing of this request was stored, send it again",
        retry_after=retry_after,
    )


def store_unavailable(retry_after: float = 1.0) -> SpanloomError:
    """UNAVAILABLE: the database could not be reached or refused; the write was not acknowledged."""
    return SpanloomError(
        "UNAVAILABLE", "STORE_UNAVAILABLE", "the database is not available", retry_after=retry_after
    )
