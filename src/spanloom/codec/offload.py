"""Large conversions run in a thread: on the event loop they would keep every other call waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# About 20 ms of work. A thread costs more than it gives for anything smaller.
_LARGEST_ON_LOOP = 250


async def run_in_thread_if_large(size: int, convert: Callable[[], T]) -> T:
    """The result of `convert()`, which runs in a thread if there is much to convert.

    Args:
        size: How much there is: KiB of text, or spans, logs, events. Each takes about 80 us.
    """
    if size <= _LARGEST_ON_LOOP:
        return convert()
    return await asyncio.to_thread(convert)
