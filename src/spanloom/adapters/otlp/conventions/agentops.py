"""AgentOps' attributes: agentops.*.

Source: PyPI agentops 0.4.21, recorded. Spans of its decorators have a kind, a name, and what went
in and came out; calls of models are in the words of OpenLLMetry.
"""

from __future__ import annotations

from spanloom.adapters.otlp.convention import Convention, Draft, Offers, SpanSource
from spanloom.genai.reading import structured, text, word_in

_KINDS = {
    "agent": "invoke_agent",
    "tool": "execute_tool",
    "llm": "chat",
    "session": "chain",
    "workflow": "chain",
    "task": "chain",
    "operation": "chain",
    "chain": "chain",
    "guardrail": "chain",
    "text": "chain",
    "http": "chain",
}
# Which field of the draft the name of a decorated function is.
_NAMED = {"agent": "agent_name", "tool": "tool_name"}
_HOLDERS = ("entity", *_KINDS)
# The instrumentations of model clients tell so of a call that a model asked for, inside the span
# of the model. The tool's own span is another one.
_REQUEST = "tool_call."
_SCOPES = "agentops."


def _columns(source: SpanSource, draft: Draft) -> Offers:
    get = source.attributes.get
    if source.name.startswith(_REQUEST) and source.scope.startswith(_SCOPES):
        return {"operation": "chain"}
    field = _NAMED.get(str(get("agentops.span.kind")).lower())
    return {field: text(get("operation.name"))} if field == "agent_name" else {}


def _contents(source: SpanSource, found: object, draft: Draft) -> Offers:
    get = source.attributes.get
    field = _NAMED.get(str(get("agentops.span.kind")).lower())
    return {field: text(get("operation.name"))} if field == "tool_name" else {}


CONVENTION = Convention(
    "AgentOps",
    rules=(
        ("agentops.span.kind", "operation", word_in(_KINDS)),
        *(
            (f"agentops.{holder}.{end}", field, structured)
            for holder in _HOLDERS
            for end, field in (("input", "input_value"), ("output", "output_value"))
        ),
    ),
    prefixes=("agentops.span.kind", "tool.call."),
    columns=_columns,
    contents=_contents,
    tells=("tool_name",),
)
