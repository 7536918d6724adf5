"""The tools `read_chat` and `search_messages`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Any, Final
from urllib.parse import quote

import orjson
from google.protobuf.json_format import MessageToDict

from spanloom.server.mcp.answer import Answer, block, code, line
from spanloom.server.mcp.arguments import Argument, ArgumentError
from spanloom.server.mcp.calls import Calls
from spanloom.v1 import chat_pb2, chat_service_pb2, span_pb2

_CUT_AT: Final = "A longer text is cut. Default: 500."
READ: Final = (
    Argument("trace_id", "string", "The trace; or else give `conversation_id`."),
    Argument("conversation_id", "string", "The conversation (session), with all of its traces."),
    Argument("from_message", "integer", "The first message, to read on. Default: 1.", least=1),
    Argument("max_characters", "integer", _CUT_AT, least=50, most=10_000),
)
_ROLES: Final = {
    name.removeprefix("MESSAGE_ROLE_").lower(): number
    for name, number in chat_pb2.MessageRole.items()
    if number
}
SEARCH: Final = (
    Argument("text", "string", "What a message must contain.", required=True),
    Argument("role", "string", "Who said it.", words=tuple(_ROLES)),
    Argument("match_case", "boolean", "Whether the case of letters matters. Default: false."),
    Argument("agent_name", "string", "Only of this agent."),
    Argument("model", "string", "Only of this model."),
    Argument("trace_id", "string", "Only in this trace."),
    Argument("conversation_id", "string", "Only in this conversation (session)."),
    Argument("since", "time", "Only from this time on: 24h, 7d (before now), or ISO 8601."),
    Argument("until", "time", "Only before this time."),
    Argument("limit", "integer", "At most so many. Default: 20.", least=1, most=100),
    Argument("cursor", "string", "The cursor of the previous answer, to read on."),
)
_PLACES: Final = ("agent_name", "model", "trace_id", "conversation_id", "match_case")
_PAGE: Final = 200


async def read_chat(calls: Calls, given: Mapping[str, Any]) -> str:
    """What was said and called, in its order, each with the id of its span."""
    place: dict[str, Any] = {
        name: given[name] for name in ("trace_id", "conversation_id") if name in given
    }
    if len(place) != 1:
        raise ArgumentError("give either `trace_id` or `conversation_id`")
    most = given.get("max_characters", 500)
    first = given.get("from_message", 1)
    answer = Answer()
    number, trace_id, more = 0, "", ""
    async for message in _messages(calls, place, most):
        number += 1
        if number < first:
            continue
        heading = f"## Trace {code(message.trace_id)}\n" if message.trace_id != trace_id else ""
        if not answer.add(heading + _told(number, message, most)):
            more = f"There are more: call again with `from_message` {number}."
            if number == first:
                more = f"Message {number} does not fit: ask for fewer `max_characters`."
            break
        trace_id = message.trace_id
    if not number:
        more = "Nothing was said in it: `read_trace` shows its spans."
    elif number < first:
        more = f"There are {number} messages."
    how = "A text that ends with … is cut: `read_span` has all of it."
    kind = "traces" if "trace_id" in place else "sessions"
    [place_id] = place.values()
    return answer.end(more, how, calls.link(f"{kind}/{quote(place_id, safe='')}"))


async def _messages(calls: Calls, place: Mapping[str, Any], most: int) -> AsyncIterator[Any]:
    token = ""
    while True:
        request = chat_service_pb2.ListChatMessagesRequest(
            **place, page_size=_PAGE, page_token=token, text_limit=most
        )
        page = await calls.one("ChatService/ListChatMessages", request)
        for message in page.messages:
            yield message
        token = page.next_page_token
        if not token:
            return


def _told(number: int, message: Any, most: int) -> str:
    kind = message.WhichOneof("content") or ""
    agent = f" ({line(message.agent.name, 60)})" if message.agent.name else ""
    failed = ""
    if message.status.code == span_pb2.STATUS_CODE_ERROR:
        failed = f" · **error** {line(message.status.message, 200)}".rstrip()
    heading = f"{number}. **{_HEADINGS.get(kind, kind)}**{agent}{failed} · {code(message.span_id)}"
    parts = _parts(kind, getattr(message, kind), most) if kind else ()
    return "\n".join([heading, *parts])


_HEADINGS: Final = {
    "user": "user",
    "response": "assistant",
    "tool_call": "tool call",
    "agent_start": "agent started",
    "handoff": "handed over",
    "compaction": "context compacted",
}


def _parts(kind: str, content: Any, most: int) -> Iterator[str]:
    match kind:
        case "user":
            yield block(_cut(content.text, most))
        case "response":
            if content.reasoning:
                yield f"reasoning:\n{block(_cut(content.reasoning, most))}"
            if content.text:
                yield block(_cut(content.text, most))
            if model := content.model.response_model or content.model.request_model:
                yield f"model {line(model, 100)}"
        case "tool_call":
            yield f"{code(line(content.name, 100))}{'' if content.executed else ', not executed'}"
            for name in ("arguments", "result"):
                if content.HasField(name):
                    yield f"{name}:\n{block(_cut(_json(getattr(content, name)), most))}"
        case "agent_start":
            if content.system_instructions:
                yield f"instructions:\n{block(_cut(content.system_instructions, most))}"
        case "handoff":
            yield f"from {line(content.from_agent, 60)} to {line(content.to_agent, 60)}"
        case "compaction":
            yield block(_cut(content.summary, most))
    for media in getattr(content, "media", ()):
        what = media.uri or media.file_id or media.modality or "media"
        yield f"with {line(media.mime_type or 'a file', 60)}: {code(line(what, 200))}"


async def search_messages(calls: Calls, given: Mapping[str, Any]) -> str:
    """The messages that contain a text, latest first."""
    chosen = {name: given[name] for name in _PLACES if name in given}
    if role := given.get("role"):
        chosen["roles"] = [_ROLES[role]]
    request = chat_service_pb2.SearchChatMessagesRequest(
        text=given["text"],
        start_time_from=given.get("since"),
        start_time_before=given.get("until"),
        page_size=given.get("limit", 20),
        page_token=given.get("cursor", ""),
        **chosen,
    )
    page = await calls.one("ChatService/SearchChatMessages", request)
    answer = Answer()
    for match in page.matches:
        answer.add(_match(match))
    more = ""
    if page.next_page_token:
        back = page.searched_back_to_time
        since = f" What began before {back.ToJsonString()} is not searched." if back.seconds else ""
        more = f"There may be more: `cursor` {code(page.next_page_token)}.{since}"
    elif not page.matches:
        more = "No message contains the text."
    how = "Read one in its place with `read_chat`, or its span with `read_span`."
    return answer.end(more, how if page.matches else "", calls.link("search"))


def _match(match: Any) -> str:
    role = chat_pb2.MessageRole.Name(match.role).removeprefix("MESSAGE_ROLE_").lower()
    agent = f" ({line(match.agent.name, 60)})" if match.agent.name else ""
    place = f"trace {code(match.trace_id)}, span {code(match.span_id)}"
    said = code(line(match.preview, 300))
    when = match.start_time.ToJsonString()[:19]
    return f"- {when}Z · **{role.replace('_', ' ')}**{agent} · {place}\n  - {said}"


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}…"


def _json(value: Any) -> str:
    if value.WhichOneof("kind") == "string_value":
        return str(value.string_value)
    return orjson.dumps(MessageToDict(value)).decode()
