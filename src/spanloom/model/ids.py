"""Ids."""

from __future__ import annotations

import os
import time

MAX_ID_LENGTH = 256


def uuid7() -> str:
    """A new UUIDv7 (RFC 9562) as 32 lower-case hex digits, so that ids sort by time in every
    index."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 7 << 76
    value = value & ~(0x3 << 62) | 2 << 62
    return f"{value:032x}"


def dashed(hex32: str) -> str:
    """The 8-4-4-4-12 spelling of a UUID, which the events contract uses."""
    return f"{hex32[:8]}-{hex32[8:12]}-{hex32[12:16]}-{hex32[16:20]}-{hex32[20:]}"
