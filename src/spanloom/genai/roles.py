"""The names that model APIs and SDKs give to who speaks."""

from __future__ import annotations

from typing import Final

USER: Final = "user"
ASSISTANT: Final = "assistant"
SYSTEM: Final = "system"
TOOL: Final = "tool"

# In lower case, without `_` and `-`.
_SPEAKERS: Final = {
    "user": USER,
    "human": USER,
    "assistant": ASSISTANT,
    "ai": ASSISTANT,
    "model": ASSISTANT,
    "system": SYSTEM,
    "developer": SYSTEM,
    "tool": TOOL,
    "toolcall": TOOL,
    "toolresult": TOOL,
    "function": TOOL,
}


def speaker(role: str) -> str:
    """Who speaks in a role, of the four above: a role that nobody knows is a user's."""
    found = _SPEAKERS.get(role)
    return found or _SPEAKERS.get(role.lower().replace("_", "").replace("-", ""), USER)
