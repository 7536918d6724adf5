"""SpanFilter to a query of the store, and to a condition on whole spans for what it cannot tell."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import orjson

from spanloom.adapters.native.read import duration_ns
from spanloom.adapters.native.write import (
    ORIGINS,
    environment_of,
    shown_kind,
    tool_name_of,
)
from spanloom.adapters.recorded import recorded
from spanloom.codec.timestamps import ns_from_timestamp
from spanloom.model import STATUSES, Json, Span, SpanQuery
from spanloom.model.checks import Violations
from spanloom.model.times import OUT_OF_RANGE
from spanloom.v1 import span_pb2 as pb

MOST_ATTRIBUTES: Final = 10
LONGEST_TEXT: Final = 1024
# The kinds of the model that a span of a kind may have.
_COLUMNS: Final = {
    pb.SPAN_KIND_STEP: ("chain",),
    pb.SPAN_KIND_MODEL: ("model",),
    pb.SPAN_KIND_TOOL: ("tool",),
    pb.SPAN_KIND_AGENT: ("chain", "session"),
    pb.SPAN_KIND_RETRIEVAL: ("tool",),
    pb.SPAN_KIND_CONVERSATION: ("session",),
    pb.SPAN_KIND_FUNCTION: ("tool",),
    pb.SPAN_KIND_EVENT: ("chain",),
}

Condition = Callable[[Span], bool]


def span_query(sent: pb.SpanFilter, trace_id: str, bad: Violations) -> tuple[SpanQuery, Condition]:
    """The query, and the condition that a span it finds has to meet as well. `bad` refuses a filter
    with all that is wrong, with paths below `filter`."""
    _check_enums(sent, bad)
    if len(sent.text) > LONGEST_TEXT:
        bad.add("filter.text", f"must have at most {LONGEST_TEXT} characters")
    pairs = [text.partition("=") for text in sent.attributes]
    for index, (key, mark, _) in enumerate(pairs):
        if not (key and mark):
            bad.add(f"filter.attributes[{index}]", 'must be of the form "key=value"')
    if len(pairs) > MOST_ATTRIBUTES:
        bad.add("filter.attributes", f"must have at most {MOST_ATTRIBUTES} conditions")
    since, before = (
        time_of(sent, name, f"filter.{name}", bad)
        for name in ("start_time_from", "start_time_before")
    )
    shortest = None
    if sent.HasField("min_duration"):
        shortest = duration_ns(sent.min_duration)
        if shortest is None:
            bad.add("filter.min_duration", "must be a duration from 0 to 292 years")
    bad.refuse()
    attributes = [(key, value) for key, _, value in pairs]
    conditions = [*_conditions(sent), *(_has_attribute(*pair) for pair in attributes)]
    query = SpanQuery(
        trace_id=trace_id,
        session_id=sent.conversation_id,
        kinds=tuple(sorted({column for kind in sent.kinds for column in _COLUMNS[kind]})),
        status=STATUSES[sent.status_code] if sent.status_code else "",
        name=sent.name,
        operation=sent.operation,
        agent_name=sent.agent_name,
        provider=sent.provider,
        min_duration_ms=None if shortest is None else shortest / 1e6,
        since_ns=since,
        before_ns=before,
        text=sent.text,
        texts=tuple(value for _, value in attributes if is_only_text(value)),
    )
    return query, lambda span: all(holds(span) for holds in conditions)


def time_of(message: Any, name: str, field: str, bad: Violations) -> int | None:
    """The nanoseconds of a Timestamp, None if it is not set."""
    if not message.HasField(name):
        return None
    ns = ns_from_timestamp(getattr(message, name))
    if ns is None:
        bad.add(field, OUT_OF_RANGE)
    return ns


def _check_enums(sent: pb.SpanFilter, bad: Violations) -> None:
    for name, enum, numbers in (
        ("kinds", pb.SpanKind, sent.kinds),
        ("origins", pb.SpanOrigin, sent.origins),
    ):
        for index, number in enumerate(numbers):
            if not number or number not in enum.values():
                bad.add(f"filter.{name}[{index}]", f"{number} is no {enum.DESCRIPTOR.name}")
    if sent.status_code not in pb.StatusCode.values():
        bad.add("filter.status_code", f"{sent.status_code} is no StatusCode")


def _conditions(sent: pb.SpanFilter) -> Iterator[Condition]:
    """The conditions on what no column tells."""
    if sent.kinds:
        kinds = frozenset(sent.kinds)
        yield lambda span: shown_kind(span) in kinds
    if sent.origins:
        origins = frozenset(sent.origins)
        yield lambda span: ORIGINS.get(span.sent.adapter) in origins
    for name, read in _TEXTS.items():
        if wanted := getattr(sent, name):
            yield lambda span, read=read, wanted=wanted: wanted in read(span)  # type: ignore[misc]


# What a span may have of each field that is compared.
_TEXTS: Final[dict[str, Callable[[Span], tuple[str | None, ...]]]] = {
    "model": lambda span: (span.model, span.genai.response_model),
    "tool_name": lambda span: (tool_name_of(span),),
    "user_id": lambda span: (span.trace.user.id if span.trace.user else None,),
    "feature": lambda span: (span.trace.feature_slug,),
    "experiment_id": lambda span: (span.trace.experiment_id,),
    "environment": lambda span: (environment_of(span),),
}


def is_only_text(value: str) -> bool:
    """Whether the value can be that of a text alone: numbers, truths and objects are spelled in
    another way in what was sent, and are no words of the index."""
    try:
        float(value)
    except ValueError:
        return value not in ("true", "false", "null", "") and value[0] not in "[{"
    return False


def _has_attribute(key: str, wanted: str) -> Condition:
    def holds(span: Span) -> bool:
        attributes = recorded(span).get("attributes") or ()
        pairs = attributes.items() if isinstance(attributes, dict) else attributes
        values = [value for name, value in pairs if name == key]
        metadata = span.io.metadata or {}
        if key in metadata:
            values.append(metadata[key])
        return any(_text(value) == wanted for value in values)

    return holds


def _text(value: Json) -> str | None:
    """A scalar as text: numbers and booleans as their JSON."""
    if isinstance(value, str):
        return value
    return orjson.dumps(value).decode() if isinstance(value, bool | int | float) else None
