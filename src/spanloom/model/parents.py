"""Finds the cycles that the parents named by clients may form, in linear time and without
recursion."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


def cycle_heads(parents: Sequence[int | None], rank: Callable[[int], Any]) -> list[int]:
    """Of each cycle the node of the lowest rank: cut there, and the cycle is a chain under that
    node.

    `parents[i]` is the index of node i's parent, None for none; a node may be its own.
    """
    heads = []
    seen_by = [0] * len(parents)
    for walk in range(1, len(parents) + 1):
        node: int | None = walk - 1
        while node is not None and not seen_by[node]:
            seen_by[node] = walk
            node = parents[node]
        if node is not None and seen_by[node] == walk:
            cycle = [node]
            while (following := parents[cycle[-1]]) != node and following is not None:
                cycle.append(following)
            heads.append(min(cycle, key=rank))
    return heads
