"""Patterns of personal data and of credentials that many projects need, with their checks."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final, NamedTuple

# What of a match is the thing itself, as positions in it; None if nothing is.
Check = Callable[[str], tuple[int, int] | None]

_DIGITS: Final = re.compile(r"\d+")
_CARD_DIGITS: Final = range(13, 20)
_CARD_BEGINNINGS: Final = "23456"
# By a digit, in ASCII, the sum of the digits of its double.
_DOUBLED: Final = bytes.maketrans(b"0123456789", b"0246813579")
_PHONE_DIGITS: Final = range(9, 16)
_SHORTEST_IBAN: Final = 15


class Preset(NamedTuple):
    """A pattern of RE2, and what checks its matches.

    Args:
        alone: Whether a match must not touch letters, digits or the other letters of base64.
    """

    pattern: str
    check: Check | None = None
    alone: bool = True


def _card(text: str) -> tuple[int, int] | None:
    """A number of a payment card among groups of digits: by its beginning, length and check digit
    (ISO/IEC 7812)."""
    groups = [match.span() for match in _DIGITS.finditer(text)]
    for first, (start, _) in enumerate(groups):
        if text[start] not in _CARD_BEGINNINGS:
            continue
        for _, end in reversed(groups[first : first + _CARD_DIGITS.stop]):
            digits = text[start:end].encode().translate(None, b" -")
            if len(digits) in _CARD_DIGITS and _luhn(digits):
                return start, end
    return None


def _luhn(digits: bytes) -> bool:
    """Whether the last of the digits is the check digit."""
    total = sum(digits[-1::-2]) + sum(digits[-2::-2].translate(_DOUBLED)) - 48 * len(digits)
    return total % 10 == 0 and len(set(digits)) > 1


def _iban(text: str) -> tuple[int, int] | None:
    """An IBAN, by its check digits (ISO 13616); what follows it may look like a part of it."""
    ends = [at + 1 for at, letter in enumerate(text) if letter != " "]
    for length in range(len(ends), _SHORTEST_IBAN - 1, -1):
        end = ends[length - 1]
        compact = text[:end].replace(" ", "")
        is_word_end = end == len(text) or text[end] == " "
        if (
            is_word_end
            and int("".join(str(int(c, 36)) for c in compact[4:] + compact[:4])) % 97 == 1
        ):
            return 0, end
    return None


def _phone(text: str) -> tuple[int, int] | None:
    count = sum(letter.isdigit() for letter in text)
    return (0, len(text)) if count in _PHONE_DIGITS else None


def _address(text: str) -> tuple[int, int] | None:
    return (0, len(text)) if all(int(part) < 256 for part in text.split(".")) else None


_PHONE: Final = (
    r"\+[1-9]\d{0,2}(?:[ ./()-]{0,3}\d){6,13}"
    r"|\(\d{3}\) ?\d{3}[ .-]\d{4}|\d{3}[ .-]\d{3}[ .-]\d{4}"
    r"|0[1-9]\d{1,4}[ /-]\d{2,}(?:[ -]\d{2,}){0,4}"
)
_KNOWN_SHAPES: Final = (
    r"(?:sk|pk|rk)[-_][0-9A-Za-z_-]{16,}|gh[opsur]_[0-9A-Za-z]{30,}|github_pat_[0-9A-Za-z_]{30,}"
    r"|glpat-[0-9A-Za-z_-]{16,}|xox[abprs]-[0-9A-Za-z-]{10,}|hf_[0-9A-Za-z]{30,}"
    r"|A[KS]IA[0-9A-Z]{16}|AIza[0-9A-Za-z_-]{35}"
    r"|eyJ[0-9A-Za-z_-]{8,}\.eyJ[0-9A-Za-z_-]{8,}\.[0-9A-Za-z_-]*"
    r"|[Bb]earer [0-9A-Za-z._~+/-]{16,}=*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----[^-]*(?:-----END [A-Z ]*PRIVATE KEY-----)?"
)
PRESETS: Final = {
    "email": Preset(r"[\p{L}\p{N}._%+'-]+(?:@|%40)(?:[\p{L}\p{N}-]+\.)+\p{L}{2,24}", alone=False),
    "phone": Preset(_PHONE, _phone),
    "card": Preset(r"\d(?:[ -]?\d){12,40}", _card),
    "iban": Preset(r"[A-Za-z]{2}\d{2}(?: ?[0-9A-Za-z]){11,34}", _iban),
    "ip": Preset(r"\d{1,3}\.\d{1,3}\.\d{1,3}\.\d{1,3}", _address),
    "ssn": Preset(r"(?:[0-5]\d\d|6[0-57-9]\d|66[0-57-9]|[78]\d\d)-\d{2}-\d{4}"),
    "token": Preset(_KNOWN_SHAPES),
}
