"""The tail of a chat: responses of ChatService.TailChat.

A group knows what its readers have been shown. When spans of the chat are stored, it reads the chat
again, and tells the difference. What a client was shown before it resumes nobody knows, so it gets
the whole chat if that has changed since.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from functools import partial
from hashlib import blake2b
from typing import Any, Final

from spanloom.adapters.native.chat import KINDS, chat_message, chat_messages
from spanloom.chat.view import trace_chat
from spanloom.codec.offload import run_in_thread_if_large
from spanloom.codec.text_cuts import MOST_BYTES
from spanloom.model import Span
from spanloom.model.changes import StoredSpans
from spanloom.services.queries.cursors import cursor
from spanloom.services.tails.group import Behind, Group, Piece
from spanloom.store.store import Store
from spanloom.v1 import chat_pb2
from spanloom.v1 import chat_service_pb2 as pb

METHOD: Final = "TailChat"
# Traces of a conversation that one read takes.
_TURNS: Final = 20
_LOG_ENTRIES: Final = 1_000
# Between two reads of a chat that is being written; longer if a read takes longer.
_PAUSE_SECONDS: Final = 0.05


class ChatGroup(Group):
    """Readers of the same chat.

    A read of the chat may show more than the log up to the position that was known before it. So
    the places in the window are numbers of responses, and not positions in the log.
    """

    def __init__(self, store: Store, project: str, request: pb.TailChatRequest) -> None:
        super().__init__(project)
        self._store = store
        self._request = request
        self._traces: set[str] = set()
        self._shown: dict[str, bytes] = {}  # in the order of the chat, a digest of each message
        self._taken = 0  # the position up to which the log was looked at
        self._cursor = 0  # the position up to which the readers have been shown all
        self._changed = asyncio.Event()
        self._is_reading = True
        self._meanwhile: set[str] = set()  # traces that were written while the chat was read
        self._task: asyncio.Task[None] | None = None

    def start(self, position: int) -> None:
        """As of `Group`, but the readers have to wait until the chat was read."""
        self._taken = position
        if self._task is None:
            self._task = asyncio.create_task(self._follow())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    async def take(self, part: StoredSpans) -> None:
        self.stored = self.stored.plus(part, self.project)
        self._taken = part.reached
        spans = [one.span for one in part.spans if one.project == self.project]
        gone = [one.trace_id for project, one in part.deleted if project == self.project]
        if self._is_reading:
            self._meanwhile.update(gone, (span.trace_id for span in spans))
        if self._is_of_chat(spans, gone):
            self._changed.set()
        elif not (self._is_reading or self._changed.is_set()):
            self._cursor = self._taken

    async def read(self, position: int | None) -> AsyncGenerator[Any, None]:
        """As of `Group`, but the position is that of a cursor."""
        place = None
        if position is not None:
            yield self._response(position)
            await self._started()
            # Before the log is read: what the group sends from now on comes after that.
            place = self.reached
            if await self._has_changed(position):
                for response in await self._all():
                    yield response
        async with aclosing(super().read(place)) as responses:
            async for response in responses:
                yield response

    async def missed(self, position: int, stored: Behind) -> tuple[list[Piece], int, Behind]:
        place, stored = self.reached or 0, self.stored
        return [Piece(place, await self._all(), 0)], place, stored

    def response(self, position: int) -> pb.TailChatResponse:
        return self._response(self._cursor)

    def _response(self, position: int) -> pb.TailChatResponse:
        return pb.TailChatResponse(cursor=cursor(METHOD, self.project, position, time.time_ns()))

    async def _has_changed(self, position: int) -> bool:
        """Whether anything was stored behind a position that may have changed the chat."""
        more = True
        while more:
            part = await self._store.summaries.changes(self.project, position, limit=_LOG_ENTRIES)
            spans = [change.span for change in part.spans]
            if self._is_of_chat(spans, [one.trace_id for one in part.deleted]):
                return True
            position, more = part.reached, part.more
        return False

    async def _all(self) -> list[pb.TailChatResponse]:
        """The whole chat, for a client of which nobody knows what it shows."""
        position = self._cursor
        messages, _ = await self._messages()
        responses = self._responses(_changes({}, messages), [], position)
        responses[0].reset = True
        return responses

    def without(self, piece: Piece, position: int) -> Any:
        raise NotImplementedError("a change of a chat has no places")

    async def _follow(self) -> None:
        try:
            self._cursor = self._taken
            self._shown = _digests(await self._read())
            super().start(0)
            while True:
                await self._changed.wait()
                self._changed.clear()
                reached, started = self._taken, time.monotonic()
                messages = await self._read()
                responses = await run_in_thread_if_large(
                    len(messages), partial(self._difference, messages, reached)
                )
                self._cursor = reached
                if responses:
                    self._publish(responses)
                await asyncio.sleep(max(_PAUSE_SECONDS, time.monotonic() - started))
        except Exception as error:  # noqa: BLE001 - the readers get it
            self.fail(error)

    def _publish(self, responses: Sequence[pb.TailChatResponse]) -> None:
        place = (self.reached or 0) + 1
        if self.is_read:
            size = sum(response.ByteSize() for response in responses)
            self.publish([Piece(place, responses, size)], place)
        else:
            self.skip(place)

    def _is_of_chat(self, spans: Sequence[Span], deleted: Sequence[str]) -> bool:
        """Whether spans that were stored, or traces of deleted ones, may change the chat."""
        if trace_id := self._request.trace_id:
            return any(span.trace_id == trace_id for span in spans) or trace_id in deleted
        conversation, traces = self._request.conversation_id, self._traces
        stored = any(span.session_id == conversation or span.trace_id in traces for span in spans)
        return stored or not traces.isdisjoint(deleted)

    async def _read(self) -> list[chat_pb2.ChatMessage]:
        """All messages now. What is stored meanwhile may be of a trace that is new to the chat."""
        self._is_reading = True
        self._meanwhile.clear()
        messages, self._traces = await self._messages()
        self._is_reading = False
        if not self._meanwhile.isdisjoint(self._traces):
            self._changed.set()
        return messages

    async def _messages(self) -> tuple[list[chat_pb2.ChatMessage], set[str]]:
        """All messages of the chat now, and the ids of its traces."""
        turns = await self._turns()
        traces = {trace_id for trace_id, _ in turns}
        number = sum(len(spans) for _, spans in turns)
        messages = await run_in_thread_if_large(number, partial(self._shown_of, turns))
        if messages:
            await count_reviews(self._store, self.project, messages)
        return messages, traces

    async def _turns(self) -> list[tuple[str, list[Span]]]:
        if trace_id := self._request.trace_id:
            spans = await self._store.trace_spans(self.project, trace_id)
            return [(trace_id, spans)] if spans else []
        found: dict[str, list[Span]] = {}
        number = 1
        while len(found) < number:
            page, number = await self._store.conversation_turns(
                self.project, self._request.conversation_id, limit=_TURNS, offset=len(found)
            )
            before = len(found)
            found.update(page)
            if len(found) == before:  # traces left the conversation meanwhile
                break
        return list(found.items())[::-1]

    def _shown_of(self, turns: Sequence[tuple[str, list[Span]]]) -> list[chat_pb2.ChatMessage]:
        request, found = self._request, []
        kinds = frozenset(request.kinds)
        for trace_id, stored in turns:
            spans = {span.span_id: span for span in stored}
            chat = trace_chat(
                trace_id, stored, include_model_tool_calls=request.include_requested_tool_calls
            )
            for message, message_id, span_id in chat_messages(chat, spans):
                if not kinds or KINDS[type(message.payload)] in kinds:
                    found.append(
                        chat_message(
                            message,
                            message_id,
                            trace_id,
                            spans.get(span_id),
                            limit=request.text_limit,
                        )
                    )
        return found

    def _difference(
        self, messages: Sequence[chat_pb2.ChatMessage], reached: int
    ) -> list[pb.TailChatResponse]:
        """The difference between what was shown and these messages, which are shown then."""
        now = _digests(messages)
        found = _changes(self._shown, messages)
        removed = [message_id for message_id in self._shown if message_id not in now]
        self._shown = now
        return self._responses(found, removed, reached) if found or removed else []

    def _responses(
        self, found: Sequence[pb.TailChatResponse.Change], removed: Sequence[str], reached: int
    ) -> list[pb.TailChatResponse]:
        """Responses with changes; only the last has a cursor behind them all."""
        responses = [pb.TailChatResponse(removed_message_ids=removed)]
        size = responses[0].ByteSize()
        for change in found:
            if responses[-1].changes and size + change.ByteSize() > MOST_BYTES:
                responses.append(pb.TailChatResponse())
                size = 0
            responses[-1].changes.append(change)
            size += change.ByteSize()
        for response in responses:
            position = reached if response is responses[-1] else min(self._cursor, reached)
            response.cursor = cursor(METHOD, self.project, position, time.time_ns())
        return responses


async def count_reviews(
    store: Store, project: str, messages: Sequence[chat_pb2.ChatMessage]
) -> None:
    """Set how many reviews messages have."""
    shown = {message.span_id for message in messages if message.span_id}
    found = await store.feedback_on(project, [("span", span_id) for span_id in sorted(shown)])
    counted = Counter((feedback.target_id, feedback.trace_id) for feedback in found)
    for message in messages:
        message.review_count = (
            counted[message.span_id, ""] + counted[message.span_id, message.trace_id]
        )


def _digests(messages: Iterable[chat_pb2.ChatMessage]) -> dict[str, bytes]:
    return {message.message_id: _digest(message) for message in messages}


def _digest(message: chat_pb2.ChatMessage) -> bytes:
    return blake2b(message.SerializeToString(deterministic=True), digest_size=16).digest()


def _changes(
    shown: Mapping[str, bytes], messages: Sequence[chat_pb2.ChatMessage]
) -> list[pb.TailChatResponse.Change]:
    """The messages that differ from those that were shown, or follow another one.

    A client puts each behind the message that it names, so only what that does not move is sent.
    """
    there = {message.message_id for message in messages}
    before: dict[str, str] = {}  # as the client has them
    after: dict[str, str] = {}
    last = ""
    for message_id in shown:
        if message_id in there:
            before[message_id], after[last] = last, message_id
            last = message_id
    found: list[pb.TailChatResponse.Change] = []
    last = ""
    for message in messages:
        message_id = message.message_id
        is_moved = before.get(message_id) != last
        if is_moved or shown.get(message_id) != _digest(message):
            found.append(pb.TailChatResponse.Change(message=message, previous_message_id=last))
        if is_moved:
            if (left := before.get(message_id)) is not None:
                right = after.pop(message_id, None)
                _link(before, after, left, right)
            _link(before, after, message_id, after.get(last))
            _link(before, after, last, message_id)
        last = message_id
    return found


def _link(before: dict[str, str], after: dict[str, str], left: str, right: str | None) -> None:
    if right is None:
        after.pop(left, None)
    else:
        after[left], before[right] = right, left
