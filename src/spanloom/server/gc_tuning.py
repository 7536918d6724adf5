"""When memory is given back: both ways to do so keep the interpreter to themselves, and nobody is answered meanwhile.

A full look for objects that hold one another takes hundreds of milliseconds beside a large request. Nearly all objects
are freed without one; so full looks come when nothing is under way, or else once a minute.
"""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Final

# New objects between two looks at those alone: a batch has thousands, and they all live. What three looks left over is
# looked at once more, for some 10 ms, and then left alone.
_YOUNG: Final = 20_000
_PAUSE_SECONDS: Final = 10.0
_MOST_SECONDS: Final = 60.0


def settle() -> None:
    """Leave out what was made so far, and from now on look at young objects only. Workers go on sharing what is left out."""
    gc.freeze()
    gc.set_threshold(_YOUNG, 3, 1_000_000)


async def collect_forever(is_busy: Callable[[], bool]) -> None:
    """Full looks, until cancelled."""
    waited = 0.0
    while True:
        await asyncio.sleep(_PAUSE_SECONDS)
        waited += _PAUSE_SECONDS
        if waited >= _MOST_SECONDS or not is_busy():
            gc.collect()
            waited = 0.0
