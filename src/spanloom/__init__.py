"""Spanloom: GenAI traces, events, sessions and agent chats from any SDK in one SQL store."""

from __future__ import annotations


def __getattr__(name: str) -> str:
    if name != "__version__":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib.metadata import version  # slow, and few ask

    return version("spanloom")
