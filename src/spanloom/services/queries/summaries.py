"""What a store finds of traces and conversations as the messages that people read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import orjson

from spanloom.adapters.native.reviews import score_of
from spanloom.adapters.native.write import span_message
from spanloom.chat.spoken import spoken
from spanloom.codec.timestamps import duration_from_ns, timestamp_from_ns
from spanloom.genai.roles import ASSISTANT, USER
from spanloom.model import Feedback, Json, Span
from spanloom.model.own_use import dollars, used_by
from spanloom.model.summaries import (
    MOST_FIGURED,
    ConversationRow,
    SpanGroup,
    TraceRow,
    root_of,
    whole_root,
)
from spanloom.v1 import query_pb2, span_pb2

PREVIEW = 200
_MOST_NAMES = 10
# Of a longer name the beginning is shown, so that no row of a list is large.
_LONGEST_NAME = 1_000
_GOOD = 0.5


def trace_summary(row: TraceRow) -> query_pb2.TraceSummary:
    """A trace as a row."""
    trace, group = row.trace, row.group
    root = whole_root(group)
    message = query_pb2.TraceSummary(
        trace_id=trace.trace_id,
        conversation_id=trace.session_id or trace.trace_id,
        name=shown(trace.name),
        feature=shown(trace.feature_slug),
        start_time=timestamp_from_ns(trace.start_ns),
        experiment_id=shown(trace.experiment_id),
        figures=figures(group),
        figures_are_lower_bounds=group.count > MOST_FIGURED,
        agent_names=_names(span.agent_name for span in group.spans),
        models=_names(span.model for span in group.spans if span.kind == "model"),
        input_preview=_first_said(group.spans, group),
        output_preview=_last_said(group.spans, group),
        reviews=review_counts(group.feedback),
    )
    if root is not None:
        told = span_message(root, basic=True)
        message.environment, message.origin = shown(told.environment), told.origin
        _put_people(message, told)
        if row.has_root:
            message.status.CopyFrom(status(told))
            if trace.end_ns is not None:
                message.end_time.CopyFrom(timestamp_from_ns(trace.end_ns))
                took = max(0, trace.end_ns - trace.start_ns)
                message.duration.CopyFrom(duration_from_ns(took))
    return message


def conversation_summary(row: ConversationRow) -> query_pb2.ConversationSummary:
    """A conversation as a row."""
    group = row.group
    ids = [trace.trace_id for trace in row.traces]
    of_first = [span for span in group.spans if span.trace_id == ids[0]]
    of_last = [span for span in group.spans if span.trace_id == ids[-1]]
    whole = sorted(group.whole.values(), key=lambda span: span.start_ns)
    message = query_pb2.ConversationSummary(
        conversation_id=row.conversation_id,
        name=shown(next((s.conversation_name for s in whole if s.conversation_name), "")),
        start_time=timestamp_from_ns(group.spans[0].start_ns if group.spans else row.last_ns),
        last_activity_time=timestamp_from_ns(row.last_ns),
        trace_count=row.trace_count,
        figures=figures(group),
        figures_are_lower_bounds=group.count > MOST_FIGURED,
        agent_names=_names(span.agent_name for span in group.spans),
        models=_names(span.model for span in group.spans if span.kind == "model"),
        input_preview=_first_said(of_first, group),
        output_preview=_last_said(of_last, group),
        reviews=review_counts(group.feedback),
    )
    named = next((span for span in reversed(whole) if span.trace.user is not None), None)
    if named is not None:
        _put_people(message, span_message(named, basic=True))
    elif ids:
        user_id = next((t.user_id for t in reversed(row.traces) if t.user_id), "")
        if user_id:
            message.user.id = shown(user_id)
    return message


def figures(group: SpanGroup) -> query_pb2.Figures:
    """Sums over the spans, of what each used itself."""
    used = used_by(group.spans)
    return query_pb2.Figures(
        span_count=group.count,
        error_count=group.errors,
        model_call_count=used.model_calls,
        tool_call_count=sum(span.kind == "tool" for span in group.spans),
        input_tokens=used.input_tokens,
        output_tokens=used.output_tokens,
        cost_usd=dollars(used.cost),
        priced_model_call_count=used.priced_calls,
    )


def review_counts(feedback: Iterable[Feedback]) -> query_pb2.ReviewCounts:
    """How many there are, and how many are good or bad."""
    counts = query_pb2.ReviewCounts()
    for item in feedback:
        counts.total += 1
        score = score_of(item)
        if score is not None:
            counts.positive += score >= _GOOD
            counts.negative += score < _GOOD
    return counts


def input_of(span: Span) -> str:
    """What the user or the caller said to a span, "" if it does not tell."""
    said = [text for role, text in spoken(span) if role == USER]
    return said[0] if said else _text(span.io.inputs)


def output_of(span: Span) -> str:
    """What a span answered, "" if it does not tell."""
    said = [text for role, text in spoken(span) if role == ASSISTANT]
    return said[-1] if said else _text(span.io.outputs)


def status(told: span_pb2.Span) -> span_pb2.SpanStatus:
    """A status whose texts are short enough for a list."""
    return span_pb2.SpanStatus(
        code=told.status.code,
        message=shown(told.status.message),
        error_type=shown(told.status.error_type),
    )


def shown(text: str) -> str:
    """As much of a text as a row of a list has room for."""
    return _valid(text[:_LONGEST_NAME])


def preview(text: str) -> str:
    """The beginning of a text."""
    return _valid(text[:PREVIEW])


def json_preview(value: Json) -> str:
    """The beginning of a JSON value: of its text, where it has only one."""
    return preview(_text(value))


def json_bytes(value: Json) -> bytes:
    """The JSON of what a reader made of a message: it may have integers of more than 64 bits and
    lone surrogates. Keys are sorted."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except TypeError:
        return json.dumps(value, sort_keys=True).encode()


def _valid(text: str) -> str:
    """The text without lone surrogates, which no message can have."""
    return text if text.isascii() else text.encode(errors="replace").decode()


def _first_said(spans: Sequence[Span], group: SpanGroup) -> str:
    return preview(next(filter(None, map(input_of, _telling(spans, group))), ""))


def _last_said(spans: Sequence[Span], group: SpanGroup) -> str:
    told = _telling(spans, group)
    candidates = [*told[:1], *reversed(told[1:])]
    return preview(next(filter(None, map(output_of, candidates)), ""))


def _telling(spans: Sequence[Span], group: SpanGroup) -> list[Span]:
    """Of a trace's spans the whole ones: the root, then calls of models by start."""
    root = root_of(spans)
    found = [root, *(span for span in spans if span is not root)] if root else []
    keys = [(span.trace_id, span.span_id) for span in found]
    return [group.whole[key] for key in keys if key in group.whole]


def _text(value: Json) -> str:
    if value is None or value in ({}, []):
        return ""
    if isinstance(value, dict) and len(value) == 1:
        [only] = value.values()
        if isinstance(only, str):
            return only
    return value if isinstance(value, str) else json_bytes(value).decode()


def _names(values: Iterable[str]) -> list[str]:
    """The first names, each once."""
    return [shown(name) for name in list(dict.fromkeys(filter(None, values)))[:_MOST_NAMES]]


def _put_people(message: Any, told: span_pb2.Span) -> None:
    for name in ("user", "organization"):
        if name in message.DESCRIPTOR.fields_by_name and told.HasField(name):
            into, party = getattr(message, name), getattr(told, name)
            into.SetInParent()
            for field in ("id", "name", "email"):
                if field in party.DESCRIPTOR.fields_by_name:
                    setattr(into, field, shown(getattr(party, field)))
