"""LiveKit Agents: lk.*. Newer versions mark names of what people said with `pii`.

Source: PyPI livekit-agents 1.8.9, telemetry/trace_types.py, recorded. Calls of models and tools are
in the words of OpenTelemetry, too; a turn of an agent is not.
"""

from __future__ import annotations

from collections.abc import Mapping

from spanloom.adapters.otlp.convention import Convention, Draft, Offers, SpanSource
from spanloom.genai.reading import structured, text
from spanloom.genai.roles import ASSISTANT, USER
from spanloom.model import Json
from spanloom.model.genai import GenAiMessage, TextPart

_TURN = "agent_turn"
_PRIVATE = ("lk.pii.", "lk.")


def _columns(source: SpanSource, draft: Draft) -> Offers:
    return {"operation": "invoke_agent"} if source.name == _TURN else {}


def _contents(source: SpanSource, found: Mapping[str, Json], draft: Draft) -> Offers:
    if source.name != _TURN:
        return {}
    return {
        field: [GenAiMessage(role, (TextPart(said),))]
        for field, name, role in (
            ("input_messages", "user_input", USER),
            ("output_messages", "response.text", ASSISTANT),
        )
        if (said := _said(source, name))
    }


def _said(source: SpanSource, name: str) -> str | None:
    get = source.attributes.get
    return next((said for head in _PRIVATE if (said := text(get(head + name)))), None)


CONVENTION = Convention(
    "LiveKit Agents",
    rules=(
        ("lk.function_tool.id", "tool_call_id", text),
        ("lk.function_tool.name", "tool_name", text),
        *((f"{head}function_tool.arguments", "tool_arguments", structured) for head in _PRIVATE),
        *((f"{head}function_tool.output", "tool_result", structured) for head in _PRIVATE),
        ("lk.agent_name", "agent_name", text),
        ("lk.agent_label", "agent_name", text),
    ),
    prefixes=("lk.pii.user_input", "lk.user_input", "lk.pii.response.text", "lk.response.text"),
    columns=_columns,
    contents=_contents,
    tells=("input_messages", "output_messages", "tool_name"),
)
