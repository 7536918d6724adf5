"""TailChat, by its promises in chat_service.proto."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from spanloom.v1 import chat_service_pb2
from tests.contract.conftest import Project
from tests.contract.test_span_service_tails import CHAT, said, tail, write


class Screen:
    """A chat as a client keeps it."""

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.messages: dict[str, Any] = {}
        self.cursor = ""

    def apply(self, response: chat_service_pb2.TailChatResponse) -> None:
        if response.reset:
            self.ids, self.messages = [], {}
        self.ids = [one for one in self.ids if one not in set(response.removed_message_ids)]
        for change in response.changes:
            message = change.message
            if message.message_id in self.ids:
                self.ids.remove(message.message_id)
            previous = change.previous_message_id
            place = self.ids.index(previous) + 1 if previous else 0
            self.ids.insert(place, message.message_id)
            self.messages[message.message_id] = message
        self.cursor = response.cursor

    def shown(self) -> list[Any]:
        return [self.messages[one] for one in self.ids]

    def follow(self, responses: Iterator[Any], wanted: list[Any]) -> None:
        """Apply changes until the chat is as wanted."""
        end = time.monotonic() + 10
        while self.shown() != wanted:
            assert time.monotonic() < end, (self.shown(), wanted)
            self.apply(next(responses))


def chat(project: Project, **fields: Any) -> list[Any]:
    return list(project.direct().send("ChatService/ListChatMessages", **fields).messages)


def test_tail_chat_follows_a_chat_from_nothing(project: Project) -> None:
    screen = Screen()
    with tail(project, CHAT, traceId="t") as responses:
        screen.apply(next(responses))
        for number in (1, 3, 2):
            write(project, said(number))
            screen.follow(responses, chat(project, traceId="t"))
        write(project, said(2, "another answer"))
        screen.follow(responses, chat(project, traceId="t"))
        project.send("SpanService/DeleteSpans", spans=[{"traceId": "t", "spanId": "s3"}])
        screen.follow(responses, chat(project, traceId="t"))
    assert [m.response.text for m in screen.shown() if m.response.text] == [
        "answer 1",
        "another answer",
    ]


def test_a_conversation_is_followed_over_its_traces(project: Project) -> None:
    screen = Screen()
    with tail(project, CHAT, conversationId="c") as responses:
        screen.apply(next(responses))
        for number in (1, 2):
            write(project, said(number, traceId=f"t{number}", conversationId="c"))
        write(project, said(3, traceId="t9", conversationId="other"))
        screen.follow(responses, chat(project, conversationId="c"))


def test_a_chat_that_changed_before_a_resume_arrives_as_a_whole(project: Project) -> None:
    screen = Screen()
    with tail(project, CHAT, traceId="t") as responses:
        screen.apply(next(responses))
        write(project, said(1), said(2))
        screen.follow(responses, chat(project, traceId="t"))
    write(project, {"spanId": "x", "traceId": "elsewhere"})
    with tail(project, CHAT, traceId="t", cursor=screen.cursor) as responses:
        first = next(responses)
        assert (first.reset, list(first.changes)) == (False, [])
    project.send("SpanService/DeleteSpans", spans=[{"traceId": "t", "spanId": "s1"}])
    write(project, said(3))
    with tail(project, CHAT, traceId="t", cursor=screen.cursor) as responses:
        screen.apply(next(responses))
        screen.follow(responses, chat(project, traceId="t"))
