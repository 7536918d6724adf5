"""Google's Agent Development Kit: gcp.vertex.agent.*.

Source: google/adk-python, telemetry/tracing.py (recorded from 1.12, 1.20 and 2.13).
"""

from __future__ import annotations

import re

from spanloom.ingest.conventions.convention import Convention, Draft, Offers, SpanSource
from spanloom.ingest.conventions.messages import USER, answers_of, messages_of, system_of
from spanloom.ingest.conventions.reading import an_object, decoded, identifier
from spanloom.model import Json

# Earlier versions tell of an agent by the span's name alone.
_AGENT_RUN = re.compile(r"agent_run \[(.+)\]", re.DOTALL)
_EMPTY = "{}"  # what a tool's span has in place of a request


def _read(source: SpanSource, found: dict[str, Json], draft: Draft) -> Offers:
    request, response = (
        found.get("gcp.vertex.agent.llm_request"),
        found.get("gcp.vertex.agent.llm_response"),
    )
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
