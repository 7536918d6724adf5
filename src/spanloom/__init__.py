"""Spanloom: GenAI traces, events, sessions and agent chats from any SDK in one SQL store."""

from __future__ import annotations

from importlib.metadata import version

__version__ = version("spanloom")
