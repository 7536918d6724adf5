"""Spanloom: GenAI traces, events, sessions and agent chats from any SDK in one SQL store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from spanloom.client import AsyncClient as AsyncClient
    from spanloom.client import Client as Client
    from spanloom.client import tls as tls

# Read when they are asked for: the server and most commands need none of them.
_CLIENT = ("AsyncClient", "Client", "tls")


def __getattr__(name: str) -> Any:
    if name in _CLIENT:
        from spanloom import client

        return getattr(client, name)
    if name == "__version__":
        from importlib.metadata import version

        return version("spanloom")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
