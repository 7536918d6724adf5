"""Sentry's names for what OpenTelemetry has since named otherwise: sentry.op, and messages under
gen_ai.request.messages, gen_ai.response.text and gen_ai.response.tool_calls.

Sources: npm @sentry/node 10.78.0, recorded; PyPI sentry-sdk 2.75.0, consts.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from spanloom.adapters.otlp.convention import Convention, Draft, Offers, SpanSource
from spanloom.genai.blocks import openai_call
from spanloom.genai.operations import MODEL_OPERATIONS
from spanloom.genai.read import received
from spanloom.genai.reading import structured, text, texts
from spanloom.genai.roles import ASSISTANT, USER
from spanloom.model import Json
from spanloom.model.genai import GenAiMessage, Part, TextPart

_HEAD = "gen_ai."
_OTHERS = frozenset({"invoke_agent", "execute_tool", "create_agent", "handoff"})


def _operation(value: Json) -> str | None:
    said = value.removeprefix(_HEAD) if isinstance(value, str) and value[:7] == _HEAD else ""
    return said if said in _OTHERS or said in MODEL_OPERATIONS else None


def _columns(source: SpanSource, draft: Draft) -> Offers:
    """The agent of a span that the application made, which has the agent's name."""
    if source.attributes.get("sentry.op") != _HEAD + "invoke_agent":
        return {}
    return {"agent_name": text(source.name.removeprefix("invoke_agent "))}


def _contents(source: SpanSource, found: Mapping[str, Json], draft: Draft) -> Offers:
    said = texts(found.get("gen_ai.response.text")) or []
    parts: list[Part] = [TextPart(each) for each in said if each]
    calls = structured(found.get("gen_ai.response.tool_calls"))
    parts += [
        call for item in (calls if isinstance(calls, list) else ()) if (call := openai_call(item))
    ]
    asked = found.get("gen_ai.request.messages")
    return {
        "input_messages": received(asked, USER) or None if asked else None,
        "output_messages": [GenAiMessage(ASSISTANT, tuple(parts))] if parts else None,
    }


CONVENTION = Convention(
    "Sentry",
    rules=(
        ("sentry.op", "operation", _operation),
        ("gen_ai.request.available_tools", "tool_definitions", structured),
    ),
    prefixes=(
        "sentry.op",
        "gen_ai.request.messages",
        "gen_ai.response.text",
        "gen_ai.response.tool_calls",
    ),
    columns=_columns,
    contents=_contents,
    tells=("input_messages", "output_messages"),
)
