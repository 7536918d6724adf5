"""Which user messages of a model's input are new.

Rules: docs/contracts/agent_chat.md, sections 2.6, 3.1 and 3.9.

A model call replays the conversation before it. What is new stands in the run of user messages at the end of its input, and
beyond the place up to which the conversation was known; a text that was said twice stands at two places.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from spanloom.chat.messages import USER, Message, key_of, text_of

USER_NAME: Final = "User"
# Google ADK: "For context: [agent] said: ...".
_TALE: Final = "For context:"
_TOLD_OF: Final = re.compile(r"\[([^\[\]\n]+)\] (?:said|called|`)")


class Thread(NamedTuple):
    """A conversation as far as it is known: the keys of its user messages, and who says them."""

    keys: Sequence[str]
    speaker: str


@dataclass(slots=True)
class Scope:
    """Where model calls belong together: an agent, or a tool. `caller` is the agent that called it, "" for none.

    `asked` holds the keys of what the agent was itself asked, else of what those around it were; `asked_around` the latter.
    """

    caller: str = ""
    asked: frozenset[str] = frozenset()
    asked_around: frozenset[str] = frozenset()
    thread: Thread | None = None

    def inner(self, caller: str, inputs: Sequence[Message]) -> Scope:
        """The scope of an agent or a tool within, called by `caller`; `inputs` is what an agent was itself asked."""
        asked = self.asked
        if inputs:
            asked = frozenset(key_of(m) for m in inputs if m.role == USER) or asked
        return Scope(caller or self.caller, asked, self.asked, self.thread)


class Users:
    """What users said so far in one trace. `user_spoke` is for the walk to set, when it has shown a user's words."""

    def __init__(self) -> None:
        self._latest: Thread | None = None
        self._last_key = ""
        self.user_spoke = False

    def hear(self, inputs: Sequence[Message], scope: Scope) -> list[tuple[Message, str]]:
        """The new user messages of a model's input, with the name of who says each."""
        if not inputs or inputs[-1].role != USER:
            return []
        users: list[tuple[Message, str]] = []
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
            fresh = [said for place, said in places if place >= known or said[1] not in seen]
        else:
            # Nothing tells the place, so a text right after itself counts as the same.
            speaker = self._speaker(keys[-1], scope)
            fresh = run[1:] if run[0][1] == self._last_key else run
        scope.thread = self._latest = Thread(keys, speaker)
        if fresh:
            self._last_key = keys[-1]
        return [(message, _quoted_agent(message) or speaker) for message, _ in fresh]

    def _known(self, keys: Sequence[str], scope: Scope) -> tuple[int, Thread | None]:
        """How many of the keys are known, by the conversation of the scope or else the latest one."""
        best, thread = 0, None
        for candidate in (scope.thread, self._latest):
            if candidate is None or candidate is thread:
                continue
            if (known := known_length(candidate.keys, keys)) > best:
                best, thread = known, candidate
        return best, thread

    def _speaker(self, key: str, scope: Scope) -> str:
        """Who opens a conversation: the first prompt of a turn is the user's, and so is one that is passed on."""
        was_asked = bool(scope.asked_around) and key not in scope.asked_around
        return scope.caller if scope.caller and (self.user_spoke or was_asked) else USER_NAME


def _quoted_agent(message: Message) -> str:
    """The agent whose doings another one is told of in the user's place, "" for what is no such tale."""
    text = text_of(message)
    told = _TOLD_OF.search(text) if text.startswith(_TALE) else None
    return told[1] if told else ""


def known_length(known: Sequence[str], keys: Sequence[str]) -> int:
    """How many of `keys` a conversation of which `known` was seen already covers; 0 where they do not meet.

    The last known message is found where most of what came before it agrees, at its first such place: a history may
    have lost its beginning (a window, a compaction), but it goes on after what was last said. Linear time.
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
