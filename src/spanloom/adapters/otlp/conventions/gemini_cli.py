"""Gemini CLI: spans of its scope, whose tools tell everything in two objects.

Source: npm @google/gemini-cli 0.61.0, recorded with its traces on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from spanloom.adapters.otlp.convention import Convention, Draft, Offers, SpanSource
from spanloom.genai.blocks import first, joined, part_of
from spanloom.genai.reading import an_object, decoded, identifier, text
from spanloom.genai.tool_io import result_of
from spanloom.model import Json
from spanloom.model.genai import ToolResultPart

_SCOPE: Final = "gemini-cli"
_OPERATIONS: Final = {
    "tool_call": "execute_tool",
    "schedule_tool_calls": "chain",
    "user_prompt": "chain",
    "agent_call": "invoke_agent",
}


def _columns(source: SpanSource, draft: Draft) -> Offers:
    said = draft.get("operation")
    if said in _OPERATIONS:
        draft["operation"] = _OPERATIONS[said]
    if said == "tool_call":
        made = an_object(source.attributes.get("gen_ai.output.messages"))
        return {"error": text(first(first(made, "response"), "error"))}
    return {"provider": "gcp.gemini"} if said == "llm_call" else {}


def _contents(source: SpanSource, found: Mapping[str, Json], draft: Draft) -> Offers:
    get = source.attributes.get
    operation = draft.get("operation")
    if operation == "execute_tool":
        given = an_object(get("gen_ai.input.messages"))
        made = an_object(get("gen_ai.output.messages"))
        _forget(draft)
        return {
            "tool_call_id": identifier(get("gen_ai.tool.call_id")),
            "tool_arguments": first(given, "args"),
            "tool_result": _result(first(made, "response")),
        }
    if operation == "chain":
        _forget(draft)
        return {}
    if (system := decoded(get("gen_ai.system_instructions"))) and isinstance(system, str):
        draft["system_instructions"] = system
    return {}


def _forget(draft: Draft) -> None:
    """Drop what is no message, though it is under a message's name."""
    for field in ("input_messages", "output_messages"):
        draft.pop(field, None)


def _result(response: Json) -> Json:
    """What the model was given, else what was shown to the user."""
    parts = first(response, "responseParts")
    results: list[Any] = [
        part.result
        for item in (parts if isinstance(parts, list) else ())
        if isinstance(part := part_of(item), ToolResultPart)
    ]
    said = result_of(results[0]) if len(results) == 1 else joined(results) or None
    output = first(said, "output")
    return output or said or first(response, "resultDisplay")


CONVENTION = Convention(
    "Gemini CLI",
    scopes=(_SCOPE,),
    columns=_columns,
    contents=_contents,
    tells=(
        "input_messages",
        "output_messages",
        "tool_name",
        "tool_arguments",
    ),
)
