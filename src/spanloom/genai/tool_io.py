"""What frameworks wrap around a tool's arguments and its result, taken off.

Sources: LangChain's callbacks and ToolMessage, LlamaIndex's ToolOutput, BeeAI's and Google ADK's instrumentations, as recorded.
"""

from __future__ import annotations

from spanloom.genai.parts import joined
from spanloom.genai.reading import structured
from spanloom.model import Json


def arguments_of(value: Json) -> Json:
    """The arguments that a tool was called with."""
    value = structured(value)
    if not isinstance(value, dict):
        return value
    keys = value.keys()
    if "input_str" in keys and {"tags", "metadata", "kwargs"} & keys:  # LangChain's on_tool_start
        inputs = value.get("inputs")
        return value["input_str"] if inputs in (None, "", {}) else inputs
    if (
        keys <= {"args", "kwargs"}
        and not value.get("args")
        and isinstance(value.get("kwargs"), dict)
    ):
        return value["kwargs"]  # a Python call
    if keys == {"input", "options"}:  # BeeAI
        return value["input"]
    return value


def result_of(value: Json) -> Json:
    """What a tool gave back."""
    value = structured(value)
    if not isinstance(value, dict):
        return value
    if value.keys() <= {"output", "kwargs"} and "output" in value:  # LangChain's on_tool_end
        value = structured(value["output"])
        if not isinstance(value, dict):
            return value
    for key in ("kwargs", "data"):  # LangChain's ToolMessage, in its two ways to be JSON
        inner = value.get(key)
        if isinstance(inner, dict) and "tool_call_id" in inner and "content" in inner:
            return joined(inner["content"])
    if "tool_call_id" in value and "content" in value:
        return joined(value["content"])
    if "raw_output" in value and "tool_name" in value:  # LlamaIndex
        raw = value["raw_output"]
        return joined(value.get("blocks")) if raw is None else raw
    if isinstance(inner := value.get("tool_output"), dict) and "tool_name" in value:
        return result_of(inner)
    if value.keys() == {"id", "name", "response"}:  # Google's FunctionResponse
        return value["response"]
    return value
