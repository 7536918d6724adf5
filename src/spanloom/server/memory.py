"""The C library's allocator: how much of it is in use, and how what is free goes back."""

from __future__ import annotations

import asyncio
import ctypes
import sys
from typing import Final

_M_ARENA_MAX: Final = -8  # of malloc.h
_M_MMAP_THRESHOLD: Final = -3
_ARENAS: Final = 2
_MAPPED_BYTES: Final = 1 << 20
_LOOK_SECONDS: Final = 0.2
# So many bytes that were freed are worth the 2 ms in which they are given back.
_MUCH: Final = 32 << 20


class _Info(ctypes.Structure):
    """`struct mallinfo2` of malloc.h."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def _glibc() -> ctypes.CDLL | None:
    """The library, where it is glibc of 2.33 or later."""
    if sys.platform != "linux":
        return None
    found = ctypes.CDLL(None)
    if not hasattr(found, "mallinfo2"):
        return None
    found.mallinfo2.restype = _Info
    return found


_GLIBC: Final = _glibc()


def tune() -> None:
    """Have what is freed go back to the system."""
    if _GLIBC is not None:
        # Each thread would keep an arena of its own, and what is free in it.
        _GLIBC.mallopt(_M_ARENA_MAX, _ARENAS)
        # The threshold would grow with the first large request, and what is below is kept.
        _GLIBC.mallopt(_M_MMAP_THRESHOLD, _MAPPED_BYTES)


def trim() -> None:
    """Give back what is free. Blocks for a while."""
    if _GLIBC is not None:
        _GLIBC.malloc_trim(0)


async def give_back() -> None:
    """Give back what is free soon after much has been freed, until cancelled: what a burst of large
    requests has left would add to the next one."""
    most = 0
    while True:
        await asyncio.sleep(_LOOK_SECONDS)
        used = in_use()
        if used < most - _MUCH:
            await asyncio.to_thread(trim)
            most = used
        most = max(most, used)


def in_use() -> int:
    """The bytes that are allocated, by Python's large objects and by libraries; 0 if unknown."""
    if _GLIBC is None:
        return 0
    info = _GLIBC.mallinfo2()
    return int(info.uordblks + info.hblkhd)
