"""Where conversions run: a large one would keep every other call of the event loop waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# About 20 ms of work; below that a thread costs more than it gives.
_MOST_ON_LOOP = 250


async def converted(items: int, convert: Callable[[], T]) -> T:
    """What `convert` gives; in a thread when it has many items to go through."""
    if items <= _MOST_ON_LOOP:
        return convert()
    return await asyncio.to_thread(convert)
