"""Laminar's attributes: lmnr.*.

Source: PyPI lmnr 0.8.2, recorded. It sends messages and usage in the words of OpenTelemetry.
"""

from __future__ import annotations

from spanloom.adapters.otlp.convention import Convention
from spanloom.genai.reading import decoded, identifier, word_in

_OPERATIONS = {
    "llm": "chat",
    "tool": "execute_tool",
    "default": "chain",
    "executor": "chain",
    "evaluator": "chain",
    "human_evaluator": "chain",
    "evaluation": "chain",
    "cached": "chain",
}

CONVENTION = Convention(
    "Laminar",
    rules=(
        ("lmnr.span.type", "operation", word_in(_OPERATIONS)),
        ("lmnr.span.input", "input_value", decoded),
        ("lmnr.span.output", "output_value", decoded),
        ("lmnr.association.properties.session_id", "session_id", identifier),
        ("lmnr.association.properties.user_id", "user_id", identifier),
    ),
)
