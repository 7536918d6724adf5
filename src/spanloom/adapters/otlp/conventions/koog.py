"""JetBrains' Koog: koog.* in addition to gen_ai.*.

Source: JetBrains/koog, agents-features-opentelemetry (KoogAttributes, GenAIAttributes, the spans;
recorded from 1.1); docs.koog.ai, OpenTelemetry support.
"""

from __future__ import annotations

from collections.abc import Mapping

from spanloom.adapters.otlp.convention import Convention, Draft, Offers, SpanSource
from spanloom.adapters.otlp.conventions.otel_genai import instructions
from spanloom.genai.reading import decoded, structured
from spanloom.model import Json


def _columns(source: SpanSource, draft: Draft) -> Offers:
    # A strategy, a node, a subgraph or a planner is a step.
    return {"operation": "chain"}


def _contents(source: SpanSource, found: Mapping[str, Json], draft: Draft) -> Offers:
    operation = draft.get("operation")
    if operation is None:
        return {}
    if "tool_result" in draft:
        draft["tool_result"] = decoded(draft["tool_result"])
    # The span that creates an agent has the instructions that the agent's own span has too.
    if operation == "create_agent":
        return {}
    return {"system_instructions": instructions(found.get("system_instructions"))}


CONVENTION = Convention(
    "Koog",
    rules=(
        ("koog.node.input", "input_value", structured),
        ("koog.node.output", "output_value", structured),
        ("koog.subgraph.input", "input_value", structured),
        ("koog.subgraph.output", "output_value", structured),
    ),
    prefixes=("koog.", "system_instructions"),
    columns=_columns,
    contents=_contents,
)
