"""Basalt's attributes, as the canonical fields that the Basalt REST adapter fills too.

Source: docs/contracts/traces.md, section 6
(PyPI basalt-sdk 1.1.10, recorded requests; the JavaScript SDK).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from spanloom.adapters.otlp.convention import Convention, Draft, Offers, SpanSource
from spanloom.genai.reading import (
    an_object,
    decoded,
    json_text,
    number,
    structured,
    text,
    texts,
    word_in,
)
from spanloom.model import Json

# The log type of a basalt.span.kind. The root of a trace is no log.
_LOG_TYPES = {
    kind: kind for kind in ("span", "generation", "retrieval", "function", "tool", "event")
}
_KINDS = {
    "generation": "model",
    "retrieval": "tool",
    "function": "tool",
    "tool": "tool",
    "span": "chain",
    "event": "chain",
}
_OPERATIONS = {
    "generation": "chat",
    "retrieval": "execute_tool",
    "function": "execute_tool",
    "tool": "execute_tool",
    "basalt_trace": "invoke_agent",
}


def _flag(value: Json) -> bool | None:
    return (
        {"true": True, "false": False, True: True, False: False}.get(value)
        if isinstance(value, str | bool)
        else None
    )


def _variables(value: Json) -> list[dict[str, str]] | None:
    found = an_object(value)
    return (
        [{"label": k, "value": json_text(v)} for k, v in found.items() if k] or None
        if found
        else None
    )


def _evaluators(value: Json) -> list[dict[str, str]] | None:
    found = texts(value)
    return [{"slug": slug} for slug in found if slug] or None if found else None


def _person(attributes: Any, prefix: str) -> dict[str, str] | None:
    fields = {key: attributes.get(f"{prefix}.{key}") for key in ("id", "name")}
    return {key: value for key, value in fields.items() if isinstance(value, str)} or None


def _rate(value: Json) -> float | None:
    rate = number(value)
    return rate if rate is not None and 0 <= rate <= 1 else None


def _columns(source: SpanSource, draft: Draft) -> Offers:
    get = source.attributes.get
    config = an_object(get("basalt.span.evaluation.config")) or {}
    rate = _rate(
        config.get(
            "sample_rate", config.get("sampleRate", get("basalt.span.evaluation.sample_rate"))
        )
    )
    experiment = text(get("basalt.experiment.id"))
    is_root = _is_root(source)
    return {
        "user": _person(source.attributes, "basalt.user"),
        "organization": _person(source.attributes, "basalt.organization"),
        "experiment": {"id": experiment} if experiment else None,
        "evaluation_config": None if rate is None else {"sample_rate": rate},
        "sample_rate": rate,
        "operation": "invoke_agent" if is_root else None,
        # As by REST: a trace is a session.
        "kind": "session" if is_root and source.is_root else None,
    }


def _contents(source: SpanSource, found: Mapping[str, Json], draft: Draft) -> Offers:
    get = source.attributes.get
    meta = {
        key.removeprefix("basalt.meta."): value
        for key, value in found.items()
        if key.startswith("basalt.meta.")
    }
    prompt = {
        key: value
        for key in ("slug", "version", "tag")
        if (value := text(get(f"basalt.prompt.{key}")))
    }
    return {
        "metadata": {**meta, **(an_object(get("basalt.metadata")) or {})} or None,
        "prompt_used": prompt if "slug" in prompt else None,
        "is_turn": True if _is_root(source) else None,
        # What a retrieval was given, where its input does not say it.
        "input_value": None if "basalt.span.input" in found else get("basalt.retrieval.query"),
    }


def _is_root(source: SpanSource) -> bool:
    get = source.attributes.get
    return get("basalt.span.kind") == "basalt_trace" or bool(_flag(get("basalt.root")))


CONVENTION = Convention(
    "Basalt",
    rules=(
        ("basalt.span.kind", "log_type", word_in(_LOG_TYPES)),
        ("basalt.span.kind", "kind", word_in(_KINDS)),
        ("basalt.span.kind", "operation", word_in(_OPERATIONS)),
        ("basalt.span.input", "inputs", decoded),
        ("basalt.span.output", "outputs", decoded),
        ("basalt.span.feature_slug", "feature_slug", text),
        ("basalt.span.variables", "variables", _variables),
        ("basalt.prompt.variables", "variables", _variables),
        ("basalt.span.evaluators", "evaluators", _evaluators),
        ("basalt.span.should_evaluate", "sampled", _flag),
        ("basalt.tool.name", "tool_name", text),
        ("basalt.function.name", "tool_name", text),
        ("basalt.tool.input", "tool_arguments", structured),
        ("basalt.tool.output", "tool_result", structured),
        ("basalt.prompt.model.model", "model", text),
        ("basalt.prompt.model.provider", "provider", text),
        ("basalt.event.payload", "input_value", structured),
    ),
    prefixes=("basalt.",),
    columns=_columns,
    contents=_contents,
    tells=("input_value",),
)
