"""Google's Agent Development Kit: gcp.vertex.agent.*.

Source: google/adk-python, telemetry/tracing.py (recorded from 1.12, 1.20 and 2.13).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from spanloom.adapters.otlp.convention import Convention, Draft, Offers, SpanSource
from spanloom.genai.read import after_last_question, messages_of
from spanloom.genai.reading import an_object, decoded, identifier, text
from spanloom.genai.roles import ASSISTANT, USER
from spanloom.genai.text import system_of
from spanloom.model import Json
from spanloom.model.genai import GenAiMessage, Part, ReasoningPart, TextPart

# Earlier versions name an agent only in the span's name.
_AGENT_RUN = re.compile(r"agent_run \[(.+)\]", re.DOTALL)
_REQUEST, _RESPONSE = "gcp.vertex.agent.llm_request", "gcp.vertex.agent.llm_response"
_EMPTY = "{}"  # what a tool's span has in place of a request
_NO_ID = "<not specified>"
_MERGED = "(merged tools)"  # a span beside those of calls that ran at once


def _columns(source: SpanSource, draft: Draft) -> Offers:
    if draft.get("tool_name") == _MERGED:
        draft["operation"] = "chain"
    if not _is_call(source):
        run = _AGENT_RUN.fullmatch(source.name)
        return {"operation": "invoke_agent", "agent_name": run[1]} if run else {}
    offers: dict[str, Json] = {"operation": "generate_content"}
    if "model" not in draft:
        offers["model"] = text((an_object(source.attributes.get(_REQUEST)) or {}).get("model"))
    return offers


def _contents(source: SpanSource, found: Mapping[str, Json], draft: Draft) -> Offers:
    _correct(draft)
    if not _is_call(source):
        return {}
    request, response = found.get(_REQUEST), found.get(_RESPONSE)
    asked = an_object(request) or {}
    config = asked.get("config")
    inputs = messages_of(asked, USER)
    answered = an_object(response)
    return {
        "input_messages": inputs or None,
        "output_messages": after_last_question(messages_of(answered, ASSISTANT)) or None,
        "system_instructions": system_of(inputs) or None,
        "tool_definitions": config.get("tools") or None if isinstance(config, dict) else None,
    }


def _is_call(source: SpanSource) -> bool:
    """Whether a span has the request or the response of a model."""
    get = source.attributes.get
    return not (get(_REQUEST) in (None, _EMPTY) and get(_RESPONSE) in (None, _EMPTY))


def _correct(draft: Draft) -> None:
    """Take out what ADK writes in GenAI attributes that is not what they are for."""
    if draft.get("tool_call_id") == _NO_ID:
        del draft["tool_call_id"]
    if (outputs := draft.get("output_messages")) and len(outputs) > 1:
        draft["output_messages"] = _joined(outputs)


def _joined(outputs: list[GenAiMessage]) -> list[GenAiMessage]:
    """The chunks of a stream as one message: all but the last have an empty finish reason."""
    whole: list[GenAiMessage] = []
    is_open = False
    for message in outputs:
        if is_open:
            parts = _appended(whole[-1].parts, message.parts)
            whole[-1] = replace(message, parts=parts, sent=None)
        else:
            whole.append(message)
        is_open = not message.as_content and (message.sent or {}).get("finish_reason") == ""
    return whole


def _appended(parts: tuple[Part, ...], more: tuple[Part, ...]) -> tuple[Part, ...]:
    joined = [*parts]
    for part in more:
        last = joined[-1] if joined else None
        if isinstance(part, TextPart) and isinstance(last, TextPart):
            joined[-1] = TextPart(last.content + part.content)
        elif isinstance(part, ReasoningPart) and isinstance(last, ReasoningPart):
            joined[-1] = ReasoningPart(last.content + part.content)
        else:
            joined.append(part)
    return tuple(joined)


CONVENTION = Convention(
    "Google ADK",
    rules=(
        ("gcp.vertex.agent.session_id", "session_id", identifier),
        ("gcp.vertex.agent.tool_call_args", "tool_arguments", decoded),
        ("gcp.vertex.agent.tool_response", "tool_result", decoded),
    ),
    prefixes=("gcp.vertex.agent.llm_re",),
    scopes=("gcp.vertex.agent",),
    columns=_columns,
    contents=_contents,
    tells=("input_messages", "output_messages"),
)
