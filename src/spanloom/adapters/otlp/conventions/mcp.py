"""Calls of tools over the Model Context Protocol: mcp.*.

Sources: open-telemetry/semantic-conventions, docs/gen-ai/mcp.md; PyPI fastmcp 4.2.3 and npm
@sentry/node 10.78.0, recorded; PyPI openlit 1.45.0, semcov. `mcp.session.id` is one of the
transport, and some servers give each request another: it is no conversation.
"""

from __future__ import annotations

from collections.abc import Mapping

from spanloom.adapters.otlp.convention import Convention, Draft, Offers, SpanSource
from spanloom.genai.reading import decoded, structured, text
from spanloom.model import Json

_ARGUMENT = "mcp.request.argument."


def _columns(source: SpanSource, draft: Draft) -> Offers:
    """A call of a tool; a span that only carries the message does not name the tool."""
    get = source.attributes.get
    named = text(get("mcp.tool.name")) or text(get("gen_ai.tool.name"))
    is_call = get("mcp.method.name") in ("tools/call", None) and named
    return {"operation": "execute_tool" if is_call else None}


def _contents(source: SpanSource, found: Mapping[str, Json], draft: Draft) -> Offers:
    given = {
        key.removeprefix(_ARGUMENT): decoded(value)
        for key, value in found.items()
        if key.startswith(_ARGUMENT)
    }
    return {"tool_arguments": given or None}


CONVENTION = Convention(
    "Model Context Protocol",
    rules=(
        ("mcp.tool.name", "tool_name", text),
        ("mcp.tool.description", "tool_description", text),
        ("mcp.tool.arguments", "tool_arguments", structured),
        ("mcp.tool.result.content", "tool_result", decoded),
        ("mcp.tool.result", "tool_result", decoded),
    ),
    prefixes=("mcp.method.name", "mcp.tool.name", _ARGUMENT),
    columns=_columns,
    contents=_contents,
    tells=("tool_arguments",),
)
