"""Messages as JSON that an SDK cut: what is there of them, each in its own role.

Rules: docs/contracts/agent_chat.md, section 3.22.
"""

from __future__ import annotations

from typing import Any, Final

from spanloom.genai.cut_json import CUT_MARK, cut_json
from spanloom.genai.dialects import is_message
from spanloom.genai.roles import ASSISTANT, TOOL, USER, speaker
from spanloom.model.genai import Json

# Keys of which messages have some.
_KEYS: Final = ('"role"', '"content"', '"parts"', '"lc"')
_SPOKEN: Final = frozenset({"content", "parts", "tool_calls"})


def cut_messages(value: str, role: str) -> Json:
    """Messages as JSON of which the end is missing; None for any other text."""
    # The beginning first: the keys are searched for in all of a text, which may have megabytes.
    if value.lstrip()[:1] not in ("[", "{"):
        return None
    if not any(key in value for key in _KEYS):
        return None
    cut = cut_json(value)
    if isinstance(cut, list) and cut:
        return _ended(cut, role)
    if isinstance(cut, dict) and cut:
        *_, (key, last) = cut.items()
        if isinstance(last, list) and last and (ended := _ended(last, role)) is not None:
            return {**cut, key: ended}
        if _has_cut_role(cut):
            del cut["role"]
        return cut if _has_message(cut) else None
    return None


def _ended(items: list[Json], role: str) -> list[Json] | None:
    """Messages of which the last one was cut; None if none of them is one for sure. A role that is
    in the missing part follows from the message before it."""
    *whole, last = items
    if isinstance(last, dict):
        if _has_cut_role(last):
            last = {key: value for key, value in last.items() if key != "role"}
        if not is_message(last) and not _SPOKEN.isdisjoint(last) and role == USER:
            if not whole or not is_message(whole[-1]):
                return []
            last = {**last, "role": ASSISTANT if _asks(whole[-1]) else USER}
    return [*whole, last] if _has_message([*whole, last]) else None


def _has_cut_role(item: dict[str, Any]) -> bool:
    return isinstance(said := item.get("role"), str) and said.endswith(CUT_MARK)


def _asks(item: dict[str, Any]) -> bool:
    """Whether a model answers after this message."""
    said = item.get("role")
    return isinstance(said, str) and speaker(said) in (USER, TOOL)


def _has_message(value: Json) -> bool:
    """Whether a value, or one of its items or values, is a message."""
    items = value if isinstance(value, list) else [value, *value.values()]
    return any(map(is_message, items)) or any(
        isinstance(item, list) and any(map(is_message, item)) for item in items
    )
