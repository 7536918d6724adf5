"""Chats, and messages that a search found, in the shape of Spanloom's own API."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration

from spanloom.adapters.native.texts import KEPT
from spanloom.adapters.native.write import messages_of, model_call
from spanloom.codec.json_fields import put_json
from spanloom.codec.text_cuts import MOST_BYTES, shortened
from spanloom.codec.timestamps import timestamp_from_ns
from spanloom.genai.reading import structured
from spanloom.model import STATUSES, Span
from spanloom.model.turn import (
    AgentHandoff,
    AgentStart,
    AssistantMessage,
    ChatMessage,
    ContextCompacted,
    ToolCall,
    TurnChat,
    UserMessage,
)
from spanloom.v1 import chat_pb2 as pb

PREVIEW: Final = 500
_BEFORE_MATCH: Final = 100
_KEPT: Final = KEPT | {"message_id"}
KINDS: Final = {
    UserMessage: pb.CHAT_MESSAGE_KIND_USER,
    AssistantMessage: pb.CHAT_MESSAGE_KIND_RESPONSE,
    ToolCall: pb.CHAT_MESSAGE_KIND_TOOL_CALL,
    AgentStart: pb.CHAT_MESSAGE_KIND_AGENT_START,
    AgentHandoff: pb.CHAT_MESSAGE_KIND_HANDOFF,
    ContextCompacted: pb.CHAT_MESSAGE_KIND_COMPACTION,
}
# The field of a message, and the value of its span that contains what it says. The second is of
# spans that have no messages.
_PATHS: Final = {
    "user": ("input_messages", "input"),
    "response": ("output_messages", "output"),
    "tool_call.arguments": ("input", "input"),
    "tool_call.result": ("output", "output"),
    "agent_start.system_instructions": ("system_instructions", "input"),
    "agent_start.tool_definitions": ("tool_definitions", "tool_definitions"),
    "compaction.summary": ("compaction.summary", "compaction.summary"),
    "status.message": ("status.message", "status.message"),
}
ROLES: Final = {
    "user": pb.MESSAGE_ROLE_USER,
    "assistant": pb.MESSAGE_ROLE_ASSISTANT,
    "system": pb.MESSAGE_ROLE_SYSTEM,
    "tool_call": pb.MESSAGE_ROLE_TOOL_CALL,
    "tool_result": pb.MESSAGE_ROLE_TOOL_RESULT,
}
_SPOKEN_IN: Final = {
    "user": ("input_messages", "input"),
    "assistant": ("output_messages", "output"),
    "system": ("system_instructions", "input"),
    "tool_call": ("output_messages", "input"),
    "tool_result": ("input_messages", "output"),
}


def chat_messages(
    turn: TurnChat, spans: Mapping[str, Span]
) -> Iterator[tuple[ChatMessage, str, str]]:
    """The messages of a turn, each with its id and its span's.

    A message keeps its id while others are added: it is made of the span, the kind of the message,
    and its place among those of the same kind of the span; of a user's message of its text instead
    of the span, for several spans may be given it.
    """
    before: Counter[tuple[str, ...]] = Counter()
    following = _spans_from(turn)
    for index, message in enumerate(turn.messages):
        payload = message.payload
        where = f"\0{payload.text}" if isinstance(payload, UserMessage) else message.span_id or ""
        key = (turn.trace_id, message.type, where)
        number, before[key] = before[key], before[key] + 1
        digest = sha256("\0".join((*key, str(number))).encode(errors="surrogatepass"))
        yield message, digest.hexdigest()[:32], following[index]


def _spans_from(turn: TurnChat) -> list[str]:
    """The span of each message, of one without a span that of the next which has one."""
    found: list[str] = []
    following = ""
    for message in reversed(turn.messages):
        following = message.span_id or following
        found.append(following)
    return found[::-1]


def chat_message(
    message: ChatMessage,
    message_id: str,
    trace_id: str,
    span: Span | None,
    *,
    limit: int = 0,
    most_bytes: int = MOST_BYTES,
) -> pb.ChatMessage:
    """One message of a chat, not larger than so many bytes; `limit` as of `shown_span`."""
    made = pb.ChatMessage(message_id=message_id, trace_id=trace_id)
    if span is not None:
        made.span_id = span.span_id
    payload = message.payload
    if message.started_ns is not None:
        made.start_time.CopyFrom(timestamp_from_ns(message.started_ns))
    if not isinstance(payload, UserMessage):
        if message.agent_name or message.agent_version:
            made.agent.name = message.agent_name or ""
            made.agent.version = message.agent_version or ""
        if message.status_code is not None:
            made.status.code = STATUSES.index(message.status_code)  # type: ignore[assignment]
            made.status.message = message.status_message or ""
            made.status.error_type = message.error_type or ""
    duration = getattr(payload, "duration_ms", None)
    if duration is not None:
        made.duration.CopyFrom(Duration(seconds=duration // 1000, nanos=duration % 1000 * 10**6))
    _PAYLOADS[type(payload)](made, payload, span)
    for cut in shortened(made, limit=limit, most_bytes=most_bytes, kept=_KEPT):
        made.text_cuts.add(
            field=cut.path,
            path=_path_in_span(cut.path, span),
            length=cut.length,
            sha256=cut.sha256,
        )
    return made


def _put_user(made: pb.ChatMessage, payload: UserMessage, span: Span | None) -> None:
    made.user.text = payload.text
    _put_media(made.user.media, payload.content_refs)


def _put_response(made: pb.ChatMessage, payload: AssistantMessage, span: Span | None) -> None:
    made.response.text = payload.text
    made.response.reasoning = payload.reasoning_content
    _put_media(made.response.media, payload.content_refs)
    call = None if span is None else model_call(span)
    if call is not None:
        made.response.model.CopyFrom(call)


def _put_tool_call(made: pb.ChatMessage, payload: ToolCall, span: Span | None) -> None:
    call = made.tool_call
    call.name = payload.tool_name
    call.executed = bool(payload.status) or payload.duration_ms is not None
    if call.executed and span is not None and span.genai.tool is not None:
        call.call_id = span.genai.tool.call_id
    said = {"arguments": payload.tool_arguments, "result": payload.tool_result}
    put_json(call, {name: structured(text) for name, text in said.items() if text})
    _put_media(call.media, payload.content_refs)


def _put_start(made: pb.ChatMessage, payload: AgentStart, span: Span | None) -> None:
    made.agent_start.model = payload.model
    made.agent_start.system_instructions = payload.system_instructions
    if payload.tool_definitions:
        put_json(made.agent_start, {"tool_definitions": structured(payload.tool_definitions)})


def _put_handoff(made: pb.ChatMessage, payload: AgentHandoff, span: Span | None) -> None:
    made.handoff.from_agent, made.handoff.to_agent = payload.from_agent, payload.to_agent


def _put_compaction(made: pb.ChatMessage, payload: ContextCompacted, span: Span | None) -> None:
    made.compaction.summary = payload.compaction_summary
    for name in ("items_before", "items_after"):
        if (number := getattr(payload, f"compaction_{name}")) is not None:
            setattr(made.compaction, name, number)


def _put_media(media: Any, refs: tuple[str, ...]) -> None:
    for ref in dict.fromkeys(refs):
        media.add(uri=ref)


_PAYLOADS: Final[dict[type, Callable[[pb.ChatMessage, Any, Span | None], None]]] = {
    UserMessage: _put_user,
    AssistantMessage: _put_response,
    ToolCall: _put_tool_call,
    AgentStart: _put_start,
    AgentHandoff: _put_handoff,
    ContextCompacted: _put_compaction,
}


def _path_in_span(field: str, span: Span | None) -> str:
    """The path of the value of a span that contains a text of a message."""
    for prefix, (path, otherwise) in _PATHS.items():
        if field == prefix or field.startswith(prefix + "."):
            return path if _has(span, path) else otherwise
    return field


def _has(span: Span | None, path: str) -> bool:
    if span is None or not path.endswith("_messages"):
        return True
    return bool(messages_of(span)[path == "output_messages"])


def match_message(
    span: Span, role: str, text: str, digest: str, at: int, length: int
) -> pb.MessageMatch:
    """A message that a search found.

    Args:
        at: Where in the text, in code points, the text begins that was searched for.
        length: The length of that text.
    """
    begin = max(0, at - _BEFORE_MATCH) if at + length > PREVIEW else 0
    made = pb.MessageMatch(
        trace_id=span.trace_id,
        span_id=span.span_id,
        conversation_id=span.session_id,
        conversation_name=span.conversation_name,
        role=ROLES[role],
        preview=text[begin : begin + PREVIEW],
        preview_match_offset=at - begin,
        length=len(text),
        sha256=digest,
        start_time=timestamp_from_ns(span.start_ns),
    )
    path, otherwise = _SPOKEN_IN[role]
    is_tool = span.kind == "tool" and role in ("tool_call", "tool_result")
    made.path = otherwise if is_tool or not _has(span, path) else path
    if span.agent_name:
        made.agent.name = span.agent_name
        made.agent.version = span.genai.agent.version if span.genai.agent else ""
    return made
