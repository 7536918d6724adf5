"""The filters of QueryService as queries of the store."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import orjson

from spanloom.adapters.native.write import ORIGINS, environment_of
from spanloom.adapters.recorded import recorded
from spanloom.codec.timestamps import ns_from_duration, ns_from_timestamp
from spanloom.model import MAX_ID_LENGTH, Json, Span
from spanloom.model.checks import Violations
from spanloom.model.summaries import ConversationQuery, Facet, SummaryQuery, TraceOrder
from spanloom.model.times import OUT_OF_RANGE
from spanloom.v1 import query_pb2, span_pb2

MAX_TEXT: Final = 1_024
_MOST_ATTRIBUTES: Final = 10
_TEXTS: Final = {
    "conversation_id": "conversation_id",
    "name": "name",
    "feature": "feature_slug",
    "user_id": "user_id",
    "organization_id": "organization_id",
    "experiment_id": "experiment_id",
    "agent_name": "agent_name",
    "model": "model",
}
_CONVERSATION_TEXTS: Final = {
    "user_id": "user_id",
    "agent_name": "agent_name",
    "model": "model",
    "feature": "feature_slug",
}
_STATUSES: Final = {span_pb2.STATUS_CODE_OK: "OK", span_pb2.STATUS_CODE_ERROR: "ERROR"}
ORDERS: Final[Mapping[int, TraceOrder]] = {
    query_pb2.TRACE_ORDER_UNSPECIFIED: "start",
    query_pb2.TRACE_ORDER_START_TIME: "start",
    query_pb2.TRACE_ORDER_DURATION: "duration",
    query_pb2.TRACE_ORDER_COST: "cost",
    query_pb2.TRACE_ORDER_TOKENS: "tokens",
    query_pb2.TRACE_ORDER_ERRORS: "errors",
}
FACETS: Final[Mapping[int, Facet]] = {
    query_pb2.TRACE_FACET_STATUS_CODE: "status",
    query_pb2.TRACE_FACET_NAME: "name",
    query_pb2.TRACE_FACET_FEATURE: "feature",
    query_pb2.TRACE_FACET_MODEL: "model",
    query_pb2.TRACE_FACET_AGENT: "agent",
    query_pb2.TRACE_FACET_ENVIRONMENT: "environment",
    query_pb2.TRACE_FACET_USER: "user",
    query_pb2.TRACE_FACET_ORIGIN: "origin",
}
# The values of the facets that only the whole root tells.
OF_ROOT: Final[Mapping[Facet, Callable[[Span], str]]] = {
    "environment": environment_of,
    "origin": lambda span: span_pb2.SpanOrigin.Name(origin_of(span)),
}


def origin_of(span: Span) -> Any:
    return ORIGINS.get(span.sent.adapter, span_pb2.SPAN_ORIGIN_UNSPECIFIED)


def trace_query(
    asked: query_pb2.TraceFilter, violations: Violations, order: TraceOrder = "start"
) -> SummaryQuery:
    """The query of a filter, whose violations are added under `filter`."""
    _check_texts(asked, _TEXTS, violations)
    since, before = (
        time_of(asked, name, violations, "filter.")
        for name in ("start_time_from", "start_time_before")
    )
    took = 0
    if asked.HasField("min_duration"):
        found = ns_from_duration(asked.min_duration)
        if found is None:
            violations.add("filter.min_duration", "must be a duration of 0 or more")
        took = found or 0
    if asked.status_code and asked.status_code not in _STATUSES:
        violations.add("filter.status_code", "is not a known code")
    known = set(span_pb2.SpanOrigin.values()) - {span_pb2.SPAN_ORIGIN_UNSPECIFIED}
    for index, origin in enumerate(asked.origins):
        if origin not in known:
            violations.add(f"filter.origins[{index}]", "is not a known origin")
    if asked.HasField("min_cost_usd") and not (math.isfinite(asked.min_cost_usd)):
        violations.add("filter.min_cost_usd", "must be a finite number")
    if asked.min_tokens < 0:
        violations.add("filter.min_tokens", "must not be negative")
    if len(asked.attributes) > _MOST_ATTRIBUTES:
        violations.add("filter.attributes", f"must have at most {_MOST_ATTRIBUTES} elements")
    pairs = []
    for index, pair in enumerate(asked.attributes):
        key, equals, value = pair.partition("=")
        if not key or not equals:
            violations.add(f"filter.attributes[{index}]", "must have the form key=value")
        pairs.append((key, value))
    if len(asked.text) > MAX_TEXT:
        violations.add("filter.text", f"must have at most {MAX_TEXT} characters")
    of_root: list[Callable[[Span], bool]] = []
    if environment := asked.environment:
        of_root.append(lambda span: environment_of(span) == environment)
    if origins := set(asked.origins):
        of_root.append(lambda span: origin_of(span) in origins)
    return SummaryQuery(
        since_ns=since,
        before_ns=before,
        **{ours: getattr(asked, theirs) for theirs, ours in _TEXTS.items()},
        status=_STATUSES.get(asked.status_code, ""),
        has_error=_flag(asked, "has_error"),
        has_feedback=_flag(asked, "has_review"),
        running=_flag(asked, "running"),
        min_duration_ns=took,
        min_cost=asked.min_cost_usd if asked.HasField("min_cost_usd") else None,
        min_tokens=asked.min_tokens,
        of_root=of_root,
        of_spans=[_having(key, value) for key, value in pairs],
        text=asked.text,
        order=order,
    )


def conversation_query(
    asked: query_pb2.ConversationFilter, violations: Violations
) -> ConversationQuery:
    """The same of a filter of conversations."""
    _check_texts(asked, _CONVERSATION_TEXTS, violations)
    since, before = (
        time_of(asked, name, violations, "filter.")
        for name in ("last_activity_time_from", "last_activity_time_before")
    )
    if asked.min_trace_count < 0:
        violations.add("filter.min_trace_count", "must not be negative")
    return ConversationQuery(
        since_ns=since,
        before_ns=before,
        **{ours: getattr(asked, theirs) for theirs, ours in _CONVERSATION_TEXTS.items()},
        has_error=_flag(asked, "has_error"),
        has_feedback=_flag(asked, "has_review"),
        min_traces=asked.min_trace_count,
    )


def time_of(message: Any, name: str, violations: Violations, within: str = "") -> int | None:
    """Nanoseconds of a time, None where it is unset; a violation where it cannot be stored."""
    if not message.HasField(name):
        return None
    time_ns = ns_from_timestamp(getattr(message, name))
    if time_ns is None:
        violations.add(within + name, OUT_OF_RANGE)
    return time_ns


def seconds_of(
    message: Any, name: str, violations: Violations, *, default: float, most: float
) -> float:
    """A duration in seconds."""
    if not message.HasField(name):
        return default
    ns = ns_from_duration(getattr(message, name))
    if ns is None or ns > most * 1e9:
        violations.add(name, f"must be from 0 to {most:g} seconds")
        return default
    return ns / 1e9


def _check_texts(asked: Any, names: Mapping[str, str], violations: Violations) -> None:
    for name in (*names, *(n for n in ("environment", "text") if hasattr(asked, n))):
        violations.check_text(f"filter.{name}", getattr(asked, name))
    if len(getattr(asked, "conversation_id", "")) > MAX_ID_LENGTH:
        violations.add("filter.conversation_id", f"must have at most {MAX_ID_LENGTH} characters")


def _flag(asked: Any, name: str) -> bool | None:
    return getattr(asked, name) if asked.HasField(name) else None


def _having(key: str, value: str) -> Callable[[Span], bool]:
    """Whether a span has the attribute, or the key of its metadata, with the value."""

    def holds(span: Span) -> bool:
        return any(_is(found, value) for found in _values(span, key))

    return holds


def _values(span: Span, key: str) -> Sequence[Json]:
    found = []
    attributes = recorded(span).get("attributes")
    if isinstance(attributes, dict):
        found = [attributes[key]] if key in attributes else []
    elif attributes:  # a key that is given twice
        found = [item for name, item in attributes if name == key]
    metadata = span.io.metadata
    if metadata is not None and key in metadata:
        found.append(metadata[key])
    return found


def _is(found: Json, value: str) -> bool:
    if isinstance(found, str):
        return found == value
    try:
        return orjson.dumps(found).decode() == value
    except TypeError:  # an integer of more than 64 bits
        return str(found) == value
