"""Calls that a client may repeat: each is done once, and its repeats get the first answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

# How long an answer is remembered.
REMEMBERED_SECONDS = 24 * 3600


@dataclass(frozen=True, slots=True)
class Once:
    """A call that is done once in its project, however often it is made.

    Attributes:
        method: The name of the RPC.
        request_id: What the client calls the request; "" for one that is done each time.
        field: The field of that id, as the client spells it.
        digest: Of the rest of the request: a repeat has the same.
        about: The dataset with which the answer is deleted, "" for none.
        answer: The bytes of the answer, of what the write returns. It runs in the writer's thread.
    """

    method: str = ""
    request_id: str = ""
    field: str = ""
    digest: str = ""
    about: str = ""
    answer: Callable[[Any], bytes] = lambda _: b""

    def answering(self, answer: Callable[[Any], bytes]) -> Once:
        """The same call, when its answer is known."""
        return replace(self, answer=answer)


EACH_TIME = Once()


class AnsweredBeforeError(Exception):
    """The call is a repeat, and nothing was written. `answer` is that of the first call."""

    def __init__(self, answer: bytes) -> None:
        super().__init__("the call was answered before")
        self.answer = answer
