"""A tool's arguments and its result, without what frameworks and clients wrap around them.

Sources: LangChain's callbacks and ToolMessage, LlamaIndex's ToolOutput, BeeAI's and Google ADK's
instrumentations, as recorded; the inputs and outputs of HoneyHive's and Basalt's clients.
"""

from __future__ import annotations

from spanloom.genai.blocks import joined
from spanloom.genai.json_text import json_in, printed
from spanloom.genai.reading import structured
from spanloom.model import Json

# What instrumentations record of a call in Python; smolagents has an option of its own.
_PYTHON_CALL = frozenset({"args", "kwargs", "sanitize_inputs_outputs"})
# Keys under which a client puts a result that it sends as an object.
_RESULTS = ("result", "output", "response", "value", "content", "text", "answer", "return")


def _is_text(block: Json) -> bool:
    """Whether this is a block of a text, not any object that has one."""
    return isinstance(block, dict) and "text" in block and block.keys() <= {"type", "text"}


def without_params(value: Json) -> Json:
    """HoneyHive's TypeScript client puts the arguments of a traced function under this key."""
    return value["_params_"] if isinstance(value, dict) and list(value) == ["_params_"] else value


def arguments_text(inputs: Json) -> str:
    """The arguments in a tool's free-form inputs, as JSON text."""
    return printed(arguments_of(_exact(without_params(inputs))))


def result_text(outputs: Json) -> str:
    """The result in a tool's free-form outputs, as text: an object of one result is that result."""
    value = result_of(_exact(outputs))
    if isinstance(value, dict) and len(value) == 1:
        [(key, result)] = value.items()
        if key in _RESULTS:
            value = result_of(_exact(result))
    return printed(value)


def _exact(value: Json) -> Json:
    """The JSON object or array in a text, with all digits of its integers."""
    return json_in(value) if isinstance(value, str) else value


def arguments_of(value: Json) -> Json:
    """The arguments of a tool's call."""
    value = structured(value)
    if not isinstance(value, dict):
        return value
    keys = value.keys()
    if "input_str" in keys and {"tags", "metadata", "kwargs"} & keys:  # LangChain's on_tool_start
        inputs = value.get("inputs")
        return value["input_str"] if inputs in (None, "", {}) else inputs
    if keys <= _PYTHON_CALL and not value.get("args") and isinstance(value.get("kwargs"), dict):
        return value["kwargs"]  # a Python call
    if keys == {"input", "options"}:  # BeeAI
        return value["input"]
    return value


def result_of(value: Json) -> Json:
    """The result of a tool's call."""
    value = structured(value)
    if isinstance(value, list) and all(map(_is_text, value)):
        return joined(value)
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
