"""Google's Agent Development Kit: gcp.vertex.agent.*.

Source: google/adk-python, telemetry/tracing.py (recorded from 1.12, 1.20 and 2.13).
"""

from __future__ import annotations

import re

from spanloom.adapters.otlp.conventions.convention import Convention, Draft, Offers, SpanSource
from spanloom.genai.messages import USER, Message, answers_of, messages_of, system_of
from spanloom.genai.parts import Part
from spanloom.genai.reading import an_object, decoded, identifier
from spanloom.model import Json

# Earlier versions tell of an agent by the span's name alone.
_AGENT_RUN = re.compile(r"agent_run \[(.+)\]", re.DOTALL)
_EMPTY = "{}"  # what a tool's span has in place of a request
_NO_ID = "<not specified>"
_MERGED = "(merged tools)"  # a span beside those of calls that ran at once


def _read(source: SpanSource, found: dict[str, Json], draft: Draft) -> Offers:
    request, response = (
        found.get("gcp.vertex.agent.llm_request"),
        found.get("gcp.vertex.agent.llm_response"),
    )
    _correct(draft)
    if request in (None, _EMPTY) and response in (None, _EMPTY):
        run = _AGENT_RUN.fullmatch(source.name)
        return {"operation": "invoke_agent", "agent_name": run[1]} if run else {}
    asked = an_object(request) or {}
    config = asked.get("config")
    inputs = messages_of(asked, USER)
    answered = an_object(response)
    return {
        "operation": "generate_content",
        "model": asked.get("model") if isinstance(asked.get("model"), str) else None,
        "input_messages": inputs,
        "output_messages": answers_of(answered) if answered else None,
        "system_instructions": system_of(inputs or ()),
        "tool_definitions": config.get("tools") or None if isinstance(config, dict) else None,
    }


def _correct(draft: Draft) -> None:
    """Take out what ADK writes in GenAI attributes that is not what they are for."""
    if draft.get("tool_call_id") == _NO_ID:
        del draft["tool_call_id"]
    if draft.get("tool_name") == _MERGED:
        draft["operation"] = "chain"
    if (outputs := draft.get("output_messages")) and len(outputs) > 1:
        draft["output_messages"] = _joined(outputs)


def _joined(outputs: list[Message]) -> list[Message]:
    """The chunks of a stream, each of which but the last one says that it is not finished, as one message."""
    whole: list[Message] = []
    for message in outputs:
        before = whole[-1] if whole else {}
        parts = message.get("parts")
        begun = before.get("parts") if before.get("finish_reason") == "" else None
        if isinstance(begun, list) and isinstance(parts, list):
            whole[-1] = {**message, "parts": _appended(begun, parts)}
        else:
            whole.append(message)
    return whole


def _appended(parts: list[Part], more: list[Part]) -> list[Part]:
    joined = list(parts)
    for part in more:
        last = joined[-1] if joined else {}
        is_text = part.get("type") in ("text", "reasoning") and last.get("type") == part["type"]
        said = last.get("content"), part.get("content")
        if is_text and isinstance(said[0], str) and isinstance(said[1], str):
            joined[-1] = {**part, "content": said[0] + said[1]}
        else:
            joined.append(part)
    return joined


CONVENTION = Convention(
    "Google ADK",
    rules=(
        ("gcp.vertex.agent.session_id", "session_id", identifier),
        ("gcp.vertex.agent.tool_call_args", "tool_arguments", decoded),
        ("gcp.vertex.agent.tool_response", "tool_result", decoded),
    ),
    prefixes=("gcp.vertex.agent.llm_re",),
    scopes=("gcp.vertex.agent",),
    read=_read,
)
