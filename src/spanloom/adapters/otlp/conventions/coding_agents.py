"""Claude Code and Codex: claude_code.* and codex.*, as spans and as log events that are spans.

Attributes have no prefix: `model` and `input_tokens` mean so only in spans with these names.
Anthropic counts cached tokens beside the input; here they are a part of it.

Sources: docs.claude.com, Claude Code, Monitoring usage; openai/codex, docs/config.md, otel; npm
@anthropic-ai/claude-code 2.1.197 and @openai/codex 0.171.0, recorded.
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
_ANSWER = _Kind(
    "chain",
    contents={"output_messages": (("response",), _answered)},
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
    "claude_code.assistant_response": _ANSWER,
    "claude_code.llm_request": _CALL,
    "claude_code.api_request": _CALL,
    "claude_code.api_error": _CALL,
    "claude_code.tool": _TOOL,
    "claude_code.tool_result": _TOOL,
    "codex.tool_result": _TOOL,
}
# Of the events of a stream the last one is there twice, once with the tokens.
_STREAM, _LAST, _COUNTED = "codex.sse_event", "response.completed", "input_token_count"
# What Claude Code tells of a tool's arguments in its spans, and what the arguments are called.
_ARGUMENTS: Final = {
    "full_command": "command",
    "file_path": "file_path",
    "skill_name": "skill",
    "subagent_type": "subagent_type",
}
_MAIN_AGENT: Final = "/root"  # of Codex; others are below it
# Codex' own spans repeat the tokens of its events.
_REPEATED: Final = ("codex.usage.", "codex.turn.")
_CACHED: Final = ("cache_read_tokens", "cache_creation_tokens")
_TOKENS: Final = ("input_tokens", "output_tokens", *_CACHED)


def _kind(source: SpanSource) -> _Kind | None:
    get = source.attributes.get
    if source.name == _STREAM and get("event.kind") == _LAST and _COUNTED in source.attributes:
        return _CALL
    found = _KINDS.get(source.name)
    return found or (_STEP if source.name.startswith(_NAMES) else None)


def _columns(source: SpanSource, draft: Draft) -> Offers:
    kind = _kind(source)
    if kind is None:
        if any(key.startswith(_REPEATED) for key in source.attributes):
            for field in _TOKENS:
                draft.pop(field, None)
        return {}
    offers = _read(source.attributes, kind.columns)
    offers["operation"] = kind.operation
    offers["error"] = _error(source)
    if kind is not _STEP:
        if source.attributes.get("agent_name") == _MAIN_AGENT:
            draft.pop("agent_name", None)
        offers["agent_name"] = source.name.partition(".")[0]
    if kind is _CALL:
        provider = next(of for name, of in _OF.items() if source.name.startswith(name))
        offers["provider"] = provider
        if provider == "anthropic" and offers["input_tokens"] is not None:
            cached = (
                offers[field] or 0 for field in ("cache_read_tokens", "cache_creation_tokens")
            )
            offers["input_tokens"] += sum(cached)
    return offers


def _contents(source: SpanSource, found: Mapping[str, Json], draft: Draft) -> Offers:
    kind = _kind(source)
    if kind is None:
        return {}
    offers = _read(source.attributes, kind.contents)
    if kind is _TOOL:
        get = source.attributes.get
        given = {name: value for key, name in _ARGUMENTS.items() if (value := text(get(key)))}
        if offers["tool_arguments"] is None:
            offers["tool_arguments"] = given or None
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
    prefixes=("span.type", "event.name", "event.kind", *_REPEATED),
    scopes=("com.anthropic.claude_code.tracing", "com.anthropic.claude_code.events"),
    events=_NAMES,
    columns=_columns,
    contents=_contents,
    tells=("input_messages", "output_messages", "tool_name", "tool_arguments"),
)
