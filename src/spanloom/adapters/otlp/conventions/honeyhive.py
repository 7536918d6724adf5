"""HoneyHive's attributes: the flattened fields of an event (honeyhive_*), and its session.

Source: docs/contracts/events.md, section 1.8
(PyPI honeyhive 1.7.0, recorded requests; the skills repository's otel-setup).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spanloom.adapters.otlp.convention import Convention, Draft, Offers, SpanSource
from spanloom.genai.reading import (
    count,
    dollars,
    identifier,
    lowered,
    nested,
    number,
    parsed,
    text,
    word_in,
)
from spanloom.model import EVENT_TYPES, Json
from spanloom.model.span import EVENT_OBJECTS, EVENT_VALUES

_OBJECTS = {f"honeyhive_{name}": name for name in (*EVENT_VALUES, *EVENT_OBJECTS)}


def _contents(source: SpanSource, found: Mapping[str, Json], draft: Draft) -> Offers:
    tree = nested(
        (key, parsed(value) if isinstance(value, str) else value) for key, value in found.items()
    )
    offers: dict[str, Any] = {}
    for prefix, field in _OBJECTS.items():
        value = tree.get(prefix)
        if value is not None:
            offers[field] = value if isinstance(value, dict) else {"value": value}
    return offers


CONVENTION = Convention(
    "HoneyHive",
    rules=(
        ("honeyhive_event_type", "kind", word_in({kind: kind for kind in EVENT_TYPES})),
        ("honeyhive_event_id", "event_id", identifier),
        ("honeyhive_event_name", "name", text),
        ("honeyhive.session_id", "session_id", identifier),
        ("honeyhive_duration_ms", "duration_ms", number),
        ("honeyhive_error", "error", text),
        ("honeyhive_error_type", "error_type", text),
        ("honeyhive.source", "source", text),
        ("honeyhive_source", "source", text),
        ("honeyhive_metadata.cost", "cost", dollars),
        ("honeyhive_metrics.cost", "cost", dollars),
        ("honeyhive_metadata.prompt_tokens", "input_tokens", count),
        ("honeyhive_metadata.completion_tokens", "output_tokens", count),
        ("honeyhive_config.model", "model", text),
        ("honeyhive_metadata.model", "model", text),
        ("honeyhive_config.provider", "provider", lowered),
    ),
    prefixes=tuple(f"{prefix}{end}" for prefix in _OBJECTS for end in (".", "")),
    contents=_contents,
)
