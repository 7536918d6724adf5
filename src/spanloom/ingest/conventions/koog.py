"""JetBrains' Koog: koog.* beside gen_ai.*.

Source: JetBrains/koog, agents-features-opentelemetry (KoogAttributes, node and subgraph spans); docs.koog.ai, OpenTelemetry support.
"""

from __future__ import annotations

from spanloom.ingest.conventions.convention import Convention, Draft, Offers, SpanSource
from spanloom.ingest.conventions.reading import structured
from spanloom.model import Json


def _read(source: SpanSource, found: dict[str, Json], draft: Draft) -> Offers:
    """A node, a subgraph, a strategy or a planner is a step of a graph, and no more."""
    return {"operation": "chain"}


CONVENTION = Convention(
    "Koog",
    rules=(
        ("koog.node.input", "input_value", structured),
        ("koog.node.output", "output_value", structured),
        ("koog.subgraph.input", "input_value", structured),
        ("koog.subgraph.output", "output_value", structured),
    ),
    prefixes=("koog.node.", "koog.subgraph.", "koog.planner."),
    read=_read,
)
