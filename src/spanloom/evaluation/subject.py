"""What an evaluator is given, and what it gives: the interface of built-in evaluators and of
plug-ins."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields

import orjson

from spanloom.genai.stored import messages_json
from spanloom.model import NO_BODY, Json, Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One trace or one step of it. Input, output and ideal output are any JSON, None when there is
    none.

    `context` is what the trace's retrieval steps found, as text. `latency_ms` is None while it is
    open; `cost` (US dollars) and tokens of a trace are those of its steps together.
    """

    input: Json = None
    output: Json = None
    ideal_output: Json = None
    metadata: Mapping[str, Json] = field(default_factory=lambda: NO_BODY)
    context: Sequence[str] = ()
    name: str = ""
    model: str = ""
    latency_ms: float | None = None
    cost: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """A judgement: a score (1 the best, where it is a mark), a word, and why."""

    score: float | None = None
    label: str | None = None
    explanation: str | None = None


def passed(good: bool, why: str | None = None) -> Result:
    """The result of a test: 1 and `pass`, or 0 and `fail`."""
    return Result(float(good), "pass" if good else "fail", why)


def not_applicable(why: str) -> Result:
    """The result where there is nothing to judge by; it has no score."""
    return Result(None, "not_applicable", why)


def subjects(span_ids: Iterable[str], spans: Sequence[Span]) -> dict[str, Subject]:
    """The steps of these ids, "" for the trace that the spans are all of; what is not there is left
    out."""
    context = [
        text_of(span.io.outputs)
        for span in spans
        if span.log_type == "retrieval" and span.io.outputs is not None
    ]
    by_id = {span.span_id: span for span in spans}
    root = next((span for span in spans if not span.parent_id), None)
    found = {}
    for span_id in span_ids:
        span = by_id.get(span_id) if span_id else root
        if span is not None:
            found[span_id] = _subject(span, spans if span is root else [span], context)
    return found


def digest(subject: Subject) -> str:
    """32 hex digits that identify a subject's content."""
    content = orjson.dumps([getattr(subject, field.name) for field in fields(subject)])
    return hashlib.sha256(content).hexdigest()[:32]


def _subject(span: Span, steps: Sequence[Span], context: Sequence[str]) -> Subject:
    io, genai = span.io, span.genai
    return Subject(
        input=(messages_json(genai.input_messages) or None) if io.inputs is None else io.inputs,
        output=(messages_json(genai.output_messages) or None) if io.outputs is None else io.outputs,
        ideal_output=io.ideal_output,
        metadata=io.metadata or NO_BODY,
        context=context,
        name=span.name,
        model=span.model,
        latency_ms=span.duration_ms,
        cost=_sum([step.cost for step in steps]),
        input_tokens=_sum([step.input_tokens for step in steps]),
        output_tokens=_sum([step.output_tokens for step in steps]),
    )


def text_of(value: Json) -> str:
    """Text as it is; anything else as JSON; nothing as ""."""
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def json_of(value: Json) -> Json:
    """The JSON that a text holds (SDKs send structures as text); ValueError when it holds none."""
    return orjson.loads(value) if isinstance(value, str) else value


def _sum(values: Sequence[float | int | None]) -> Json:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
