"""Claude Code and Codex: claude_code.* and codex.*, as spans and as log events that are spans.

Attributes have no prefix: `model` and `input_tokens` mean so only in spans with these names.

Sources: docs.claude.com, Claude Code, Monitoring usage, and its traces (spans interaction,
llm_request, tool); openai/codex, docs/config.md, otel.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from spanloom.adapters.otlp.convention import Convention, Draft, Offers, SpanSource
from spanloom.genai.read import received
from spanloom.genai.reading import Reader, count, given_dollars, identifier, structured, text
from spanloom.genai.roles import ASSISTANT, USER
from spanloom.model import Json

_OF: Final = {"claude_code.": "anthropic", "codex.": "openai"}
_NAMES: Final = tuple(_OF)
_FALSE: Final = (False, "false")


class _Kind(NamedTuple):
    """What a step is: its operation, and the readers of its attributes, the earlier key first."""

    operation: str
    columns: Mapping[str, tuple[tuple[str, ...], Reader]] = {}
    contents: Mapping[str, tuple[tuple[str, ...], Reader]] = {}


def _asked(value: Json) -> Any:
    return received(value, USER) or None


def _answered(value: Json) -> Any:
    return received(value, ASSISTANT) or None


_TURN = _Kind(
    "invoke_agent",
    contents={"input_messages": (("user_prompt", "prompt"), _asked)},
)
_CALL = _Kind(
    "chat",
    columns={
        "model": (("model",), text),
        "input_tokens": (("input_tokens", "input_token_count"), count),
        "output_tokens": (("output_tokens", "output_token_count"), count),
        "cache_read_tokens": (("cache_read_tokens", "cached_token_count"), count),
        "cache_creation_tokens": (("cache_creation_tokens",), count),
        "cost": (("cost_usd",), given_dollars),
    },
    contents={
        "reasoning_tokens": (("reasoning_token_count",), count),
        "output_messages": (("response.model_output", "model_output"), _answered),
    },
)
_TOOL = _Kind(
    "execute_tool",
    contents={
        "tool_name": (("tool_name", "name"), text),
        "tool_call_id": (("tool_use_id", "call_id"), identifier),
        "tool_arguments": (("tool_input", "tool_parameters", "arguments"), structured),
        "tool_result": (("tool_output", "tool_result", "output"), structured),
    },
)
_STEP = _Kind("chain")
_KINDS: Final = {
    "claude_code.interaction": _TURN,
    "claude_code.user_prompt": _TURN,
    "codex.user_prompt": _TURN,
    "claude_code.llm_request": _CALL,
    "claude_code.api_request": _CALL,
    "claude_code.api_error": _CALL,
    "claude_code.tool": _TOOL,
    "claude_code.tool_result": _TOOL,
    "codex.tool_result": _TOOL,
}
# Of the events of a stream this one has the tokens.
_STREAM, _LAST = "codex.sse_event", "response.completed"


def _kind(source: SpanSource) -> _Kind | None:
    if source.name == _STREAM and source.attributes.get("event.kind") == _LAST:
        return _CALL
    found = _KINDS.get(source.name)
    return found or (_STEP if source.name.startswith(_NAMES) else None)


def _columns(source: SpanSource, draft: Draft) -> Offers:
    kind = _kind(source)
    if kind is None:
        return {}
    offers = _read(source.attributes, kind.columns)
    offers["operation"] = kind.operation
    offers["error"] = _error(source)
    if kind is _CALL:
        offers["provider"] = next(of for name, of in _OF.items() if source.name.startswith(name))
    elif kind is _TURN:
        offers["agent_name"] = source.name.partition(".")[0]
    return offers


def _contents(source: SpanSource, found: Mapping[str, Json], draft: Draft) -> Offers:
    kind = _kind(source)
    if kind is None:
        return {}
    offers = _read(source.attributes, kind.contents)
    if kind is _TOOL:
        for name, attributes in source.events:
            if name == "tool.output":
                keys = ("output", "content", "result")
                said = (structured(attributes.get(key)) for key in keys)
                offers["tool_result"] = next((each for each in said if each is not None), None)
    return offers


def _read(
    attributes: Mapping[str, Json], table: Mapping[str, tuple[tuple[str, ...], Reader]]
) -> dict[str, Json]:
    return {
        field: next(
            (value for key in keys if (value := reader(attributes.get(key))) is not None), None
        )
        for field, (keys, reader) in table.items()
    }


def _error(source: SpanSource) -> str | None:
    get = source.attributes.get
    message = text(get("error")) or text(get("error.message"))
    if message is None and get("success") in _FALSE:
        return "failed"
    return message


CONVENTION = Convention(
    "Claude Code and Codex",
    prefixes=("span.type", "event.name", "event.kind"),
    scopes=("com.anthropic.claude_code.tracing", "com.anthropic.claude_code.events"),
    events=_NAMES,
    columns=_columns,
    contents=_contents,
    tells=("input_messages", "output_messages", "tool_name"),
)
