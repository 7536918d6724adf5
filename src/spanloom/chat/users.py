"""Which user messages of a model's input are new.

Rules: docs/contracts/agent_chat.md, sections 2.6, 3.1 and 3.9.

A model call replays the conversation before it. A message is new if it is in the run of user
messages at the end of the input, and beyond the place up to which the conversation was known. So a
text that a user sent twice is two messages.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from spanloom.chat.messages import key_of
from spanloom.chat.payloads import USER_NAME
from spanloom.genai.roles import USER
from spanloom.genai.text import text_of
from spanloom.model.genai import GenAiMessage

# Google ADK: "For context: [agent] said: ...".
_CONTEXT: Final = "For context:"
_QUOTED_AGENT: Final = re.compile(r"\[([^\[\]\n]+)\] (?:said|called|`)")


class Thread(NamedTuple):
    """A conversation as far as it is known: the keys of its user messages, and who sent them."""

    keys: Sequence[str]
    speaker: str


@dataclass(slots=True)
class Scope:
    """An agent or a tool, within which model calls belong together.

    `caller` is the agent that called it, "" for none. `asked`: keys of the agent's own input, or of
    the enclosing scope's if it has none. `asked_around`: the enclosing scope's.
    """

    caller: str = ""
    asked: frozenset[str] = frozenset()
    asked_around: frozenset[str] = frozenset()
    thread: Thread | None = None

    def inner(self, caller: str, inputs: Sequence[GenAiMessage]) -> Scope:
        """The scope of an agent or tool that `caller` called; `inputs` are an agent's own."""
        asked = self.asked
        if inputs:
            asked = frozenset(key_of(m) for m in inputs if m.role == USER) or asked
        return Scope(caller or self.caller, asked, self.asked, self.thread)


class Users:
    """What users said so far in one trace.

    The walk sets `user_spoke` when it has shown a user's words.
    """

    def __init__(self) -> None:
        self._latest: Thread | None = None
        self._last_key = ""
        self.user_spoke = False

    def new_messages(
        self, inputs: Sequence[GenAiMessage], scope: Scope
    ) -> list[tuple[GenAiMessage, str]]:
        """The new user messages of a model's input, each with the name of its speaker."""
        if not inputs or inputs[-1].role != USER:
            return []
        users: list[tuple[GenAiMessage, str]] = []
        run_start = 0
        for message in inputs:
            if message.role != USER:
                run_start = len(users)
            elif key := key_of(message):
                users.append((message, key))
        run = users[run_start:]
        if not run:
            return []
        keys = [key for _, key in users]
        known, thread = self._known(keys, scope)
        if thread is not None:
            speaker, seen = thread.speaker, set(thread.keys)
            places = enumerate(run, run_start)
            fresh = [user for place, user in places if place >= known or user[1] not in seen]
        else:
            # The place is unknown, so a text right after itself counts as the same.
            speaker = self._speaker(keys[-1], scope)
            fresh = run[1:] if run[0][1] == self._last_key else run
        scope.thread = self._latest = Thread(keys, speaker)
        if fresh:
            self._last_key = keys[-1]
        return [(message, _quoted_agent(message) or speaker) for message, _ in fresh]

    def _known(self, keys: Sequence[str], scope: Scope) -> tuple[int, Thread | None]:
        """How many of the keys are known from the scope's conversation, or the latest one."""
        best, thread = 0, None
        for candidate in (scope.thread, self._latest):
            if candidate is None or candidate is thread:
                continue
            if (known := known_length(candidate.keys, keys)) > best:
                best, thread = known, candidate
        return best, thread

    def _speaker(self, key: str, scope: Scope) -> str:
        """Who opens a conversation.

        The first prompt of a turn is the user's, and so is one that an agent passes on unchanged.
        """
        was_asked = bool(scope.asked_around) and key not in scope.asked_around
        return scope.caller if scope.caller and (self.user_spoke or was_asked) else USER_NAME


def _quoted_agent(message: GenAiMessage) -> str:
    """The agent that a message in the user's place is about, "" if it is the user's own."""
    text = text_of(message)
    quoted = _QUOTED_AGENT.search(text) if text.startswith(_CONTEXT) else None
    return quoted[1] if quoted else ""


def known_length(known: Sequence[str], keys: Sequence[str]) -> int:
    """How many of `keys` belong to a conversation of which `known` was seen; 0 if they do not meet.

    The last known message is found where most messages before it agree, at its first such place: a
    conversation may have lost its beginning (a window, a compaction), but it continues after its
    last message. Linear time.
    """
    if keys[: len(known)] == known:
        return len(known)
    if known[-1] not in keys:
        return 0
    backwards = [*reversed(known), None, *reversed(keys)]
    offset = len(known) + 1
    agreed = _prefix_lengths(backwards)[offset:]
    most = max(agreed)
    return len(keys) - max(i for i, length in enumerate(agreed) if length == most)


def _prefix_lengths(items: Sequence[str | None]) -> list[int]:
    """For each place, how many items from there on repeat the beginning (the Z-function)."""
    lengths = [0] * len(items)
    left = right = 0
    for i in range(1, len(items)):
        length = min(right - i, lengths[i - left]) if i < right else 0
        while i + length < len(items) and items[length] == items[i + length]:
            length += 1
        lengths[i] = length
        if i + length > right:
            left, right = i, i + length
    return lengths
