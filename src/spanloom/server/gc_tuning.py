"""Tuning of the garbage collector: a full collection holds the interpreter's lock.

Beside a large request one takes hundreds of milliseconds, in which no call is answered. Nearly all
objects are freed without it, by their reference counts; so full collections run when no call is
under way, or else once a minute.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Final

from spanloom.server import memory

# New objects between two collections of the youngest generation: a batch has thousands, and all of
# them live. The middle generation takes some 10 ms; the oldest is never collected automatically.
_YOUNG: Final = 20_000
_MIDDLE: Final = 3
_NEVER: Final = 1_000_000

_PAUSE_SECONDS: Final = 10.0
_MOST_SECONDS: Final = 60.0


def tune_gc() -> None:
    """Freeze all objects allocated so far, and collect only young generations automatically.

    Forked workers go on sharing the memory pages of frozen objects.
    """
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _NEVER)


async def collect_forever(is_busy: Callable[[], bool]) -> None:
    """Run full collections until cancelled: when the server is not busy, at least once a minute."""
    waited = 0.0
    while True:
        await asyncio.sleep(_PAUSE_SECONDS)
        waited += _PAUSE_SECONDS
        if waited >= _MOST_SECONDS or not is_busy():
            gc.collect()
            # What a large request took is free, but the allocator keeps it.
            await asyncio.to_thread(memory.trim)
            waited = 0.0
