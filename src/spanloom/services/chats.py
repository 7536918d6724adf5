"""ChatService: what proto/spanloom/v1/chat_service.proto promises."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple

from spanloom.adapters.native.chat import KINDS, ROLES, chat_message, chat_messages, match_message
from spanloom.adapters.native.filters import LONGEST_TEXT, time_of
from spanloom.adapters.native.read import duration_ns
from spanloom.chat.spoken import spoken
from spanloom.chat.view import trace_chat
from spanloom.codec.json_path import json_path
from spanloom.codec.list_token import list_name, position_in, token_of
from spanloom.codec.offload import run_in_thread_if_large
from spanloom.codec.text_cuts import MOST_BYTES
from spanloom.codec.timestamps import timestamp_from_ns
from spanloom.errors import not_found
from spanloom.model import Span, SpanQuery
from spanloom.model.checks import Violations, possible_id
from spanloom.model.folding import folded
from spanloom.model.paging import clamped_page_size, not_negative
from spanloom.services.context import CallContext
from spanloom.services.queries.cursors import position_of_cursor
from spanloom.services.tails.chats import METHOD, ChatGroup, count_reviews
from spanloom.services.tails.follower import Follower
from spanloom.services.trace_ids import stored_trace_id
from spanloom.store.spans import Position, position_of
from spanloom.store.store import Store
from spanloom.v1 import chat_pb2
from spanloom.v1 import chat_service_pb2 as pb

DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE = 100, 1000
DEFAULT_MATCHES = 20
DEFAULT_SECONDS, MAX_SECONDS = 1.0, 10.0


class _Turn(NamedTuple):
    trace_id: str
    spans: list[Span]


class ChatService:
    """Traces and conversations as chats, and messages across them."""

    def __init__(self, store: Store, follower: Follower) -> None:
        self._store = store
        self._follower = follower

    async def list_chat_messages(
        self, request: pb.ListChatMessagesRequest, call: CallContext
    ) -> pb.ListChatMessagesResponse:
        project = call.project()
        spelled = json_path(type(request))
        bad = _chosen_chat(request)
        if request.order not in chat_pb2.ChatOrder.values():
            bad.add("order", f"{request.order} is no ChatOrder")
        bad.refuse()
        size = clamped_page_size(
            spelled("page_size"),
            request.page_size,
            default=DEFAULT_PAGE_SIZE,
            maximum=MAX_PAGE_SIZE,
        )
        limit = not_negative(spelled("text_limit"), request.text_limit)
        name = list_name("ListChatMessages", request)
        after = position_in(
            request.page_token, name, project, (int, str, int, str), spelled("page_token")
        )
        page = _ChatPage(request, size, limit)
        at = await self._fill(page, project, request, after)
        response = pb.ListChatMessagesResponse(messages=page.messages)
        await count_reviews(self._store, project, response.messages)
        if at is not None:
            response.next_page_token = token_of(name, project, at)
        return response

    async def tail_chat(
        self, request: pb.TailChatRequest, call: CallContext
    ) -> AsyncIterator[pb.TailChatResponse]:
        project = call.project()
        bad = _chosen_chat(request)
        for name in ("trace_id", "conversation_id"):
            if value := getattr(request, name):
                bad.check_id(name, value)
        bad.refuse()
        not_negative(json_path(type(request))("text_limit"), request.text_limit)
        position = None
        if request.cursor:
            position = position_of_cursor(request.cursor, METHOD, project, call.received_ns)
        asked = type(request)()
        asked.CopyFrom(request)
        asked.ClearField("cursor")
        key = asked.SerializeToString(deterministic=True)
        responses = self._follower.read(
            project, METHOD, key, position, lambda: ChatGroup(self._store, project, asked)
        )
        async with aclosing(responses):
            async for response in responses:
                yield response

    async def search_chat_messages(
        self, request: pb.SearchChatMessagesRequest, call: CallContext
    ) -> pb.SearchChatMessagesResponse:
        project = call.project()
        spelled = json_path(type(request))
        query, seconds = _search_query(request, Violations(spelled=spelled))
        size = clamped_page_size(
            spelled("page_size"),
            request.page_size,
            default=DEFAULT_MATCHES,
            maximum=MAX_PAGE_SIZE,
        )
        name = list_name("SearchChatMessages", request, "time_limit")
        token = position_in(
            request.page_token, name, project, (int, int, str, str, int), spelled("page_token")
        )
        *place, skipped = token or (0, 0, "", "", 0)
        after: Position | None = tuple(place) if place[2] else None
        page = _MatchPage(request, size, skipped)
        last, number = await self._store.list_spans(
            project, query, page.take, after=after, seconds=seconds
        )
        if after is not None:
            await self._drop_repeated(project, page, after)
        response = pb.SearchChatMessagesResponse(
            matches=[match for _, match in page.matches], searched_span_count=number
        )
        is_complete = last is None and not page.is_full
        if not is_complete:
            position = last or after or (0, 0, "", "")
            response.next_page_token = token_of(name, project, [*position, page.partly])
            if position[2]:
                response.searched_back_to_time.CopyFrom(timestamp_from_ns(position[0]))
        return response

    async def _fill(
        self, page: _ChatPage, project: str, request: pb.ListChatMessagesRequest, after: Any
    ) -> list[Any] | None:
        """Fill the page with what follows a position; the position of its last message, None where
        nothing follows."""
        index, number = 0, 1
        if after is not None:
            index = after[0]
        turn, number = await self._turn(project, request, index)
        if after is not None:
            # Traces that began earlier may have come since.
            start = index
            while (turn is None or turn.trace_id != after[1]) and index + 1 < number:
                index += 1
                turn, number = await self._turn(project, request, index)
            if turn is None or turn.trace_id != after[1]:
                index = start
                turn, number = await self._turn(project, request, index)
                after = None
        while turn is not None:
            at = await run_in_thread_if_large(
                len(turn.spans), partial(page.add, turn, after and after[2:])
            )
            if at is not None:
                return [index, turn.trace_id, *at]
            after = None
            index += 1
            if index >= number:
                break
            turn, number = await self._turn(project, request, index)
        return None

    async def _turn(
        self, project: str, request: pb.ListChatMessagesRequest, index: int
    ) -> tuple[_Turn | None, int]:
        """One trace, and the number of all: those of a conversation in the order that is asked
        for."""
        if trace_id := request.trace_id:
            trace_id = await stored_trace_id(self._store, project, trace_id)
            known = possible_id(trace_id)
            spans = await self._store.trace_spans(project, trace_id) if known else []
            if not spans:
                raise not_found("trace", trace_id[:64])
            return (_Turn(trace_id, spans) if index == 0 else None), 1
        session_id = request.conversation_id
        number = offset = 0
        if possible_id(session_id):
            _, number = await self._store.conversation_turns(project, session_id, limit=0)
        if not number:
            raise not_found("conversation", session_id[:64])
        newest_first = request.order == chat_pb2.CHAT_ORDER_NEWEST_FIRST
        offset = index if newest_first else number - 1 - index
        if offset < 0:
            return None, number
        page, _ = await self._store.conversation_turns(project, session_id, limit=1, offset=offset)
        return (_Turn(*page[0]) if page else None), number

    async def _drop_repeated(self, project: str, page: _MatchPage, after: Position) -> None:
        """Drop the messages that spans of their traces have which earlier pages returned."""
        for trace_id in {match.trace_id for _, match in page.matches}:
            said: set[tuple[str, str]] = set()

            def add(span: Span, said: set[tuple[str, str]] = said) -> bool:
                if position_of(span) < after:
                    return False
                said.update((role, _digest(text)) for role, text in spoken(span))
                return True

            query = SpanQuery(trace_id=trace_id, since_ns=after[0])
            await self._store.list_spans(project, query, add, seconds=MAX_SECONDS)
            page.matches = [
                (role, match)
                for role, match in page.matches
                if match.trace_id != trace_id or (role, match.sha256) not in said
            ]


class _ChatPage:
    """One page of a chat."""

    def __init__(self, request: pb.ListChatMessagesRequest, size: int, limit: int) -> None:
        self._request = request
        self._size, self._limit = size, limit
        self._left = MOST_BYTES
        self.messages: list[chat_pb2.ChatMessage] = []

    def add(self, turn: _Turn, after: Sequence[Any] | None) -> list[Any] | None:
        """Add the messages of a trace behind a place in it: the index and the id of a message.

        Returns:
            The place of the last message if the page is full before the end, else None.
        """
        request = self._request
        spans = {span.span_id: span for span in turn.spans}
        chat = trace_chat(
            turn.trace_id,
            turn.spans,
            include_model_tool_calls=request.include_requested_tool_calls,
        )
        made = list(chat_messages(chat, spans))
        if request.order == chat_pb2.CHAT_ORDER_NEWEST_FIRST:
            made.reverse()
        kinds = frozenset(request.kinds)
        begin = 0
        if after is not None:
            index, message_id = after
            begin = next((n for n, one in enumerate(made) if one[1] == message_id), index) + 1
        last = None if after is None else list(after)
        for index in range(begin, len(made)):
            message, message_id, span_id = made[index]
            if kinds and KINDS[type(message.payload)] not in kinds:
                continue
            if len(self.messages) == self._size:
                return last if last is not None else [-1, ""]
            shown = chat_message(
                message, message_id, turn.trace_id, spans.get(span_id), limit=self._limit
            )
            size = shown.ByteSize() + 6
            if self.messages and size > self._left:
                return last if last is not None else [-1, ""]
            self._left -= size
            self.messages.append(shown)
            last = [index, message_id]
        return None


class _MatchPage:
    """One page of a search: the messages of spans, as many as fit.

    Attributes:
        partly: How many messages of the next span are on this page or earlier ones.
    """

    def __init__(self, request: pb.SearchChatMessagesRequest, size: int, skipped: int) -> None:
        self._fold = str if request.match_case else folded
        self._text = self._fold(request.text)
        names = {number: name for name, number in ROLES.items()}
        self._roles = {names[number] for number in request.roles} or set(ROLES)
        self._model = request.model
        self._size, self._skipped = size, skipped
        self._seen: set[tuple[str, str, str]] = set()
        self.partly = 0
        self.matches: list[tuple[str, chat_pb2.MessageMatch]] = []

    @property
    def is_full(self) -> bool:
        return self.partly > 0

    def take(self, span: Span) -> bool:
        """Add the messages of a span that match; False if the page has no place for all."""
        if self.partly:
            return False
        skipped, self._skipped = self._skipped, 0
        found: list[tuple[str, chat_pb2.MessageMatch]] = []
        for role, text in spoken(span):
            at = self._fold(text).find(self._text) if role in self._roles else -1
            if at < 0:
                continue
            key = (span.trace_id, role, _digest(text))
            if key in self._seen:
                continue
            self._seen.add(key)
            match = match_message(span, role, text, key[2], at, len(self._text))
            found.append((role, match))
        left = self._size - len(self.matches)
        found = found[skipped:]
        if len(found) > left:
            self.matches += found[:left]
            self.partly = skipped + left
            return False
        self.matches += found
        return True


def _search_query(
    request: pb.SearchChatMessagesRequest, bad: Violations
) -> tuple[SpanQuery, float]:
    """The spans that may say what is searched for, and the seconds that the search may take."""
    if len(request.text) > LONGEST_TEXT:
        bad.add("text", f"must have at most {LONGEST_TEXT} characters")
    _check_numbers("roles", request.roles, chat_pb2.MessageRole, bad)
    since, before = (
        time_of(request, name, name, bad) for name in ("start_time_from", "start_time_before")
    )
    seconds = DEFAULT_SECONDS
    if request.HasField("time_limit"):
        limit = duration_ns(request.time_limit)
        if limit is None or not 0 < limit <= MAX_SECONDS * 1e9:
            bad.add("time_limit", "must be more than 0 and at most 10 seconds")
        else:
            seconds = limit / 1e9
    bad.refuse()
    query = SpanQuery(
        trace_id=request.trace_id,
        session_id=request.conversation_id,
        agent_name=request.agent_name,
        provider=request.provider,
        model=request.model,
        since_ns=since,
        before_ns=before,
        texts=(request.text,),
    )
    return query, seconds


def _chosen_chat(request: pb.ListChatMessagesRequest | pb.TailChatRequest) -> Violations:
    """What is wrong with the choice of a chat and of its messages."""
    spelled = json_path(type(request))
    bad = Violations(spelled=spelled)
    if bool(request.trace_id) == bool(request.conversation_id):
        names = " and ".join(map(spelled, ("trace_id", "conversation_id")))
        bad.add("trace_id", f"exactly one of {names} is required")
    _check_numbers("kinds", request.kinds, chat_pb2.ChatMessageKind, bad)
    return bad


def _check_numbers(field: str, numbers: Sequence[int], enum: Any, bad: Violations) -> None:
    for index, number in enumerate(numbers):
        if not number or number not in enum.values():
            bad.add(f"{field}[{index}]", f"{number} is no {enum.DESCRIPTOR.name}")


def _digest(text: str) -> str:
    return sha256(text.encode(errors="surrogatepass")).hexdigest()
