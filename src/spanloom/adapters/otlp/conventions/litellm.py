"""What LiteLLM's own OpenTelemetry integration says beside the words of OpenTelemetry.

Source: PyPI litellm, integrations/opentelemetry.py, recorded. Cached tokens are told only in
`metadata.usage_object`, as Python prints it.
"""

from __future__ import annotations

from spanloom.adapters.otlp.convention import Convention, Draft, Offers, SpanSource
from spanloom.adapters.otlp.python_text import literal
from spanloom.genai.reading import given_dollars, identifier
from spanloom.genai.usage import usage_from

_USAGE = "metadata.usage_object"
_MOST = 10_000  # characters: a usage is short, and reading Python's text takes time


def _columns(source: SpanSource, draft: Draft) -> Offers:
    told = source.attributes.get(_USAGE)
    usage = literal(told) if isinstance(told, str) and len(told) <= _MOST else told
    return usage_from(usage) if isinstance(usage, dict) else {}


CONVENTION = Convention(
    "LiteLLM",
    rules=(
        ("gen_ai.cost.total_cost", "cost", given_dollars),
        ("gen_ai.cost.input_cost", "input_cost", given_dollars),
        ("gen_ai.cost.output_cost", "output_cost", given_dollars),
        ("llm.user", "user_id", identifier),
        ("metadata.user_api_key_end_user_id", "user_id", identifier),
    ),
    prefixes=(_USAGE,),
    columns=_columns,
)
