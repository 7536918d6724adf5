"""AutoGen's message bus: what one agent publishes and another one processes, as JSON in `message`.

AutoGen's own spans describe agents and tools (gen_ai.*), but only the bus has the messages. The
group chat's manager receives every message once; the other agents receive copies. If the calls of
models are traced too, they have the same messages, so those of the bus are marked as relayed, and
their tokens are not counted.

Source: microsoft/autogen, autogen_core/_telemetry and
autogen_agentchat/teams/_group_chat/_events.py (recorded from 0.7.5).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from spanloom.adapters.otlp.convention import Convention, Draft, Offers, SpanSource
from spanloom.adapters.otlp.python_text import STRING, literal
from spanloom.genai.blocks import openai_call, parts_of, tool_result
from spanloom.genai.dialects import shown
from spanloom.genai.reading import an_object
from spanloom.genai.roles import ASSISTANT, TOOL, USER
from spanloom.model import Json
from spanloom.model.genai import GenAiMessage, Part, ReasoningPart, TextPart

_WATCHED = "openinference.instrumentation.autogen_agentchat"
_LONGEST = 65_536
_PRINTED = re.compile(rf"id='[^']*' source={STRING} .*?\bcontent={STRING} type='\w+'", re.DOTALL)


def _columns(source: SpanSource, draft: Draft) -> Offers:
    if source.scope == _WATCHED:
        return {}
    to_manager = _is_manager(source.attributes.get("recipient_agent_class"))
    message, sender = _published(_processed(source) or {}) if to_manager else (None, None)
    by_agent = message is not None and message.role != USER
    return {"operation": "chain", "agent_name": sender if by_agent else None}


def _contents(source: SpanSource, found: Mapping[str, Json], draft: Draft) -> Offers:
    if source.scope == _WATCHED:
        return _watched(source, draft)
    envelope = _processed(source)
    if envelope is None:
        return {}
    if not _is_manager(source.attributes.get("recipient_agent_class")):
        return {"input_value": envelope}
    start = envelope.get("messages")
    if isinstance(start, list):
        said = [m for item in start if (m := _message(item))]
        return {"relayed": True, "input_messages": said or None}
    message, _ = _published(envelope)
    if message is None:
        return {"input_value": envelope}
    field = "input_messages" if message.role == USER else "output_messages"
    return {"relayed": True, field: [message]}


def _processed(source: SpanSource) -> dict[str, Json] | None:
    """What came over the bus to an agent."""
    get = source.attributes.get
    is_processed = get("messaging.operation") == "process"
    if not is_processed or not isinstance(get("recipient_agent_class"), str):
        return None
    return an_object(get("message"))


def _is_manager(recipient: Json) -> bool:
    return isinstance(recipient, str) and recipient.endswith("Manager")


def _published(envelope: Mapping[str, Json]) -> tuple[GenAiMessage | None, Json]:
    """The one message in an envelope, and who sent it."""
    sent = envelope.get("message")
    if not isinstance(sent, dict) or isinstance(envelope.get("messages"), list):
        return None, None
    return _message(sent), sent.get("source")


def _watched(source: SpanSource, draft: Draft) -> Offers:
    """What OpenInference records of AutoGen.

    Messages are as Python prints them; what a model said before it called tools is not in its
    answer.
    """
    given = an_object(source.attributes.get("input.value")) or {}
    messages = (m for m in _items(given.get("messages")) if isinstance(m, str))
    printed = [_PRINTED.match(m) for m in messages if len(m) < _LONGEST]
    output = an_object(source.attributes.get("output.value")) or {}
    thought, outputs = output.get("thought"), draft.get("output_messages")
    if isinstance(thought, str) and thought and outputs:
        calls = output.get("finish_reason") == "function_calls"
        part = TextPart(thought) if calls else ReasoningPart(thought)
        first, *others = outputs
        first = replace(first, parts=(part, *first.parts), as_content=False, sent=None)
        draft["output_messages"] = [first, *others]
    said = (_message({"source": literal(p[1]), "content": literal(p[2])}) for p in printed if p)
    return {"input_messages": [m for m in said if m] or None}


def _message(item: Json) -> GenAiMessage | None:
    """A message of the bus: a text, media, the calls of tools, or their results."""
    if not isinstance(item, dict):
        return None
    role = (
        USER
        if str(item.get("source")).lower() in ("user", "user_proxy", "userproxy")
        else ASSISTANT
    )
    content = item.get("content")
    kind = item.get("type")
    parts: tuple[Part, ...]
    if kind == "ToolCallRequestEvent":
        parts = tuple(part for call in _items(content) if (part := openai_call(call)))
    elif kind == "ToolCallExecutionEvent":
        role = TOOL
        parts = tuple(
            tool_result(r.get("call_id"), r.get("content"), r.get("name"))
            for r in _items(content)
            if isinstance(r, dict)
        )
    elif kind == "ThoughtEvent":
        parts = (ReasoningPart(content),) if isinstance(content, str) and content else ()
    else:
        parts = shown(parts_of(content))
    return GenAiMessage(role, parts) if parts else None


def _items(content: Json) -> list[Json]:
    return content if isinstance(content, list) else []


CONVENTION = Convention(
    "AutoGen",
    scopes=("autogen SingleThreadedAgentRuntime", _WATCHED),
    columns=_columns,
    contents=_contents,
    tells=("input_messages", "output_messages", "input_value"),
)
