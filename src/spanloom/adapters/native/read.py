"""Spans of Spanloom's own API to spans of the model.

All fields have typed places in a span, but for these, which `sent` keeps: what OpenTelemetry
records (`spanloom.adapters.recorded`), and

    kind            the number of a kind that the span's columns do not tell
    duration_ns     where milliseconds do not tell it
    filled          which of `inputs`, `outputs` and `request_model` were made of other fields
    update_ns       when the span was received

A name of OpenTelemetry's GenAI conventions among the attributes sets the field that it means,
unless the field is set. `spanloom.adapters.native.write` gives the message back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final

from spanloom.adapters.native.conventions import filled, plain_value
from spanloom.adapters.native.cost import COSTS, Cost, cost_of_call
from spanloom.adapters.native.kinds import (
    COLUMNS_OF_KINDS,
    OPERATIONS_OF_KINDS,
    kind_of,
    kind_of_operation,
)
from spanloom.adapters.native.recording import recorded_json
from spanloom.adapters.native.values import messages_of, sent_of
from spanloom.codec.required_fields import missing_fields
from spanloom.codec.struct_reader import struct_object, value_object
from spanloom.codec.timestamps import ns_from_timestamp, timestamp_from_ns
from spanloom.genai.chat_history import inputs_of, outputs_of
from spanloom.genai.read import received
from spanloom.genai.roles import ASSISTANT, USER
from spanloom.model import (
    MAX_ID_LENGTH,
    MAX_TIME_NS,
    STATUSES,
    GenAi,
    Io,
    Json,
    Sent,
    Span,
    TraceFacts,
)
from spanloom.model.checks import Violations
from spanloom.model.genai import Agent, Compaction, Handoff, Tool, Usage
from spanloom.model.sampling import sampling_decision
from spanloom.model.span import NATIVE, NO_IO, Party, PromptUse, Variable
from spanloom.model.times import OUT_OF_RANGE
from spanloom.v1 import span_pb2 as pb

UNKNOWN: Final = "unknown"
# The fields of a span that no table has a column for.
_NO_COLUMNS: Final = (
    *("status_message", "error_type", "log_type", "instrumentation", "conversation_name"),
    *("start_unknown", "io", "genai", "trace", "sent"),
)
_NS_PER_S: Final = 10**9
# Those that hold messages, which are read with the span as a whole.
_MESSAGES: Final = ("gen_ai.input.messages", "gen_ai.output.messages")
_TEXT_COLUMNS: Final = (
    *("name", "operation", "feature", "experiment_id", "agent.name", "agent.version"),
    *("model.provider", "model.request_model", "model.response_model", "user.id"),
    "organization.id",
)
_COUNTS: Final = (
    *("input_tokens", "output_tokens", "reasoning_tokens", "cache_read_tokens"),
    "cache_creation_tokens",
)
_IDS: Final = ("trace_id", "span_id", "parent_span_id", "conversation_id", "event_id")
_text_values = attrgetter(*_TEXT_COLUMNS)
_count_values = attrgetter(*_COUNTS)
_cost_values = attrgetter(*COSTS)
_id_values = attrgetter(*_IDS)


def read_spans(
    spans: Sequence[pb.Span], *, received_ns: int, bad: Violations, field: str = "spans"
) -> list[Span]:
    """The columns of spans, for a store, which has the rest restored by `restore`.

    Args:
        bad: Gathers what is wrong, with paths below `field`, and refuses all if anything is.
    """
    found: list[tuple[pb.Span, pb.Span]] = []  # as sent, and with what attributes set
    first_at: dict[tuple[str, str], int] = {}
    for index, sent in enumerate(spans):
        at = f"{field}[{index}]."
        for path in missing_fields(sent, at):
            bad.add(path, "is required")
        span = filled(sent)
        _check(span, at, bad)
        first = first_at.setdefault((span.trace_id, span.span_id), index)
        if first != index:
            bad.same_id(f"{at}span_id", f"{field}[{first}].span_id")
        found.append((sent, span))
    bad.refuse()
    conversations = {
        span.trace_id: span.conversation_id
        for _, span in found
        if not span.parent_span_id and span.conversation_id
    }
    return [
        _brief(
            sent,
            span,
            received_ns,
            conversations.get(span.trace_id, "") if span.parent_span_id else "",
        )
        for sent, span in found
    ]


def restore(message: bytes, envelope: bytes, columns: Span) -> Span:
    """The whole of a span that `read_spans` read, in the object of its columns."""
    whole = reread(message, envelope, columns)
    for name in _NO_COLUMNS:
        setattr(columns, name, getattr(whole, name))
    return columns


def reread(message: bytes, envelope: bytes, columns: Span) -> Span:
    """The same span with its columns derived anew."""
    return _span(filled(pb.Span.FromString(message)), columns.start_ns, columns.session_id)


def _brief(sent: pb.Span, whole: pb.Span, received_ns: int, conversation_id: str) -> Span:
    span = _span(whole, received_ns, conversation_id, brief=True)
    kept = pb.Span()
    kept.CopyFrom(sent)
    for name in ("origin", "text_cuts"):
        kept.ClearField(name)
    if kept.HasField("evaluation"):
        kept.evaluation.ClearField("sampled")
    kept.update_time.CopyFrom(timestamp_from_ns(received_ns))
    span.sent = sent_of(kept)
    return span


def _check(span: pb.Span, at: str, bad: Violations) -> None:
    # Nearly all spans are valid: what they have in common is looked at together first.
    ids, texts = _id_values(span), _text_values(span)
    joined = "".join((*ids, *texts))
    if "\0" in joined or max(map(len, ids)) > MAX_ID_LENGTH:
        for name, value in zip(_IDS, ids, strict=True):
            if value:
                bad.check_id(at + name, value)
        for path, value in zip(_TEXT_COLUMNS, texts, strict=True):
            bad.check_text(at + path, value)
    _check_times(span, at, bad)
    if not 0 <= span.status.code < len(STATUSES):
        bad.add(at + "status.code", f"{span.status.code} is no StatusCode")
    if span.HasField("model"):
        for name, count in zip(_COUNTS, _count_values(span.model), strict=True):
            if count < 0:
                bad.add(f"{at}model.{name}", "must not be negative")
        for name, cost in zip(COSTS, _cost_values(span.model), strict=True):
            if not 0 <= cost < math.inf:
                bad.add(f"{at}model.{name}", "must be a finite number, 0 or more")
    evaluation = span.evaluation
    if not 0 <= evaluation.sample_rate <= 1:
        bad.add(f"{at}evaluation.sample_rate", "must be from 0 to 1")
    for index, slug in enumerate(evaluation.evaluators):
        bad.check_id(f"{at}evaluation.evaluators[{index}]", slug)
    if span.text_cuts:
        bad.add(f"{at}text_cuts", "the span is shortened; send it with its whole texts")


def _check_times(span: pb.Span, at: str, bad: Violations) -> None:
    times = {
        name: ns_from_timestamp(getattr(span, name))
        for name in ("start_time", "end_time")
        if span.HasField(name)
    }
    for name, ns in times.items():
        if ns is None:
            bad.add(at + name, OUT_OF_RANGE)
    for index, event in enumerate(span.events):
        if event.HasField("time") and ns_from_timestamp(event.time) is None:
            bad.add(f"{at}events[{index}].time", OUT_OF_RANGE)
    if not span.HasField("duration"):
        return
    duration = duration_ns(span.duration)
    if duration is None:
        bad.add(f"{at}duration", "must be a duration from 0 to 292 years")
        return
    start, end = times.get("start_time"), times.get("end_time")
    if start is None and end is not None and duration > end:
        bad.add(f"{at}duration", "results in a start before 1970")
    if end is None and start is not None and start + duration > MAX_TIME_NS:
        bad.add(f"{at}duration", "results in an end after the year 2262")


def duration_ns(duration: Any) -> int | None:
    """Nanoseconds; None for a Duration that is negative, malformed or longer than times can be."""
    ns: int = duration.seconds * _NS_PER_S + duration.nanos
    is_valid = 0 <= duration.nanos < _NS_PER_S and 0 <= ns <= MAX_TIME_NS
    return ns if is_valid else None


def _span(span: pb.Span, received_ns: int, conversation_id: str, *, brief: bool = False) -> Span:
    """The span; `conversation_id` is that of one that names none. A brief one has its columns, and
    what it says of its trace."""
    start_ns, end_ns, length_ns = _times(span, received_ns)
    duration_ms = None if length_ns is None else length_ns / 1e6
    kind = span.kind or _kind(span)
    column, log_type = COLUMNS_OF_KINDS.get(kind, ("chain", ""))
    operation = span.operation or OPERATIONS_OF_KINDS.get(kind, "")
    model = span.model
    cost = cost_of_call(model, column, start_ns)
    found = Span(
        trace_id=span.trace_id,
        span_id=span.span_id,
        event_id=span.event_id or span.span_id,
        session_id=span.conversation_id or conversation_id or span.trace_id,
        parent_id=span.parent_span_id,
        name=span.name or UNKNOWN,
        kind=column,
        operation=operation,
        start_ns=start_ns,
        end_ns=end_ns,
        duration_ms=duration_ms,
        status=STATUSES[span.status.code],
        agent_name=span.agent.name,
        provider=model.provider.lower(),
        model=model.request_model or model.response_model,
        input_tokens=model.input_tokens if model.HasField("input_tokens") else None,
        output_tokens=model.output_tokens if model.HasField("output_tokens") else None,
        cost=cost.total,
        status_message=span.status.message,
        error_type=span.status.error_type,
        log_type=log_type,
        instrumentation=span.scope.name,
        conversation_name=span.conversation_name,
        start_unknown=not span.HasField("start_time")
        and not (span.HasField("end_time") and span.HasField("duration")),
        trace=_trace(span),
    )
    if brief:
        found.io = NO_IO
        found.genai = GenAi(agent=Agent(version=span.agent.version))
        return found
    sent = recorded_json(span)
    if kind_of(found) != kind:
        sent["kind"] = kind
    if duration_ms is not None and round(duration_ms * 1e6) != length_ns:
        sent["duration_ns"] = length_ns
    found.io, found.genai = _io(span), _genai(span, cost)
    made = _fill_io(found, column, operation)
    if model.response_model and not model.request_model:
        made.append("request_model")
    if made:
        sent["filled"] = made
    if span.HasField("update_time"):
        sent["update_ns"] = ns_from_timestamp(span.update_time)
    found.sent = Sent(NATIVE, sent)
    return found


def _kind(span: pb.Span) -> int:
    """The kind of a span that does not name it."""
    by_operation = kind_of_operation(span.operation)
    if by_operation:
        return by_operation
    if span.HasField("model"):
        return pb.SPAN_KIND_MODEL
    return pb.SPAN_KIND_TOOL if span.HasField("tool") else pb.SPAN_KIND_STEP


def _times(span: pb.Span, received_ns: int) -> tuple[int, int | None, int | None]:
    """Start, end and duration in nanoseconds."""
    start = ns_from_timestamp(span.start_time) if span.HasField("start_time") else None
    end = ns_from_timestamp(span.end_time) if span.HasField("end_time") else None
    length = duration_ns(span.duration) if span.HasField("duration") else None
    if start is None:
        if end is None:
            start = received_ns
        else:
            start = min(received_ns, end) if length is None else end - length
    if end is None and length is not None:
        end = min(start + length, MAX_TIME_NS)
    if length is None and end is not None:
        length = max(0, end - start)
    return start, end, length


def _trace(span: pb.Span) -> TraceFacts:
    evaluation = span.evaluation
    rate = evaluation.sample_rate if evaluation.HasField("sample_rate") else None
    facts = TraceFacts(
        feature_slug=span.feature or None,
        user=_party(span.user, "id", "name", "email") if span.HasField("user") else None,
        organization=_party(span.organization, "id", "name")
        if span.HasField("organization")
        else None,
        experiment_id=span.experiment_id or None,
        evaluators=tuple(evaluation.evaluators),
        evaluation_rate=rate,
        sample_rate=rate,
    )
    facts.sampled = sampling_decision(span.trace_id, facts, is_root=not span.parent_span_id)
    return facts


def _party(message: Any, *names: str) -> Party:
    return Party(**{name: getattr(message, name) or None for name in names})


def _value(holder: Any, name: str) -> Json:
    return value_object(getattr(holder, name)) if holder.HasField(name) else None


def _object(holder: Any, name: str) -> Mapping[str, Json] | None:
    return struct_object(getattr(holder, name)) if holder.HasField(name) else None


def _io(span: pb.Span) -> Io:
    return Io(
        inputs=_value(span, "input"),
        outputs=_value(span, "output"),
        ideal_output=_value(span, "expected_output"),
        config=_object(span, "config"),
        metadata=_object(span, "metadata"),
        metrics=_object(span, "metrics"),
        feedback=_object(span, "feedback"),
        user_properties=_object(span.user, "properties"),
        source=span.environment or None,
    )


def _genai(span: pb.Span, cost: Cost) -> GenAi:
    said, answered = (
        received(plain_value(span.attributes[name]), role)
        if not messages and name in span.attributes
        else messages_of(messages)
        for name, messages, role in zip(
            _MESSAGES, (span.input_messages, span.output_messages), (USER, ASSISTANT), strict=True
        )
    )
    usage = Usage(
        **{
            name: getattr(span.model, name) if span.model.HasField(name) else None
            for name in ("reasoning_tokens", "cache_read_tokens", "cache_creation_tokens")
        },
        input_cost=cost.input,
        output_cost=cost.output,
        cost_source=cost.source,
    )
    has: Callable[[Any], bool] = span.HasField
    prompt, variables = span.prompt, span.prompt.variables
    compaction = span.compaction
    return GenAi(
        input_messages=said,
        output_messages=answered,
        system_instructions=span.system_instructions,
        tool=_of(Tool, span.tool, "name", "call_id", "type", "description")
        if has("tool")
        else None,
        tool_definitions=value_object(span.tool_definitions) if has("tool_definitions") else None,
        agent=_of(Agent, span.agent, "id", "version", "description") if has("agent") else None,
        usage=usage,
        response_model=span.model.response_model,
        compaction=Compaction(
            summary=compaction.summary,
            items_before=compaction.items_before if compaction.HasField("items_before") else None,
            items_after=compaction.items_after if compaction.HasField("items_after") else None,
        )
        if has("compaction")
        else None,
        handoff=_of(Handoff, span.handoff, "from_agent", "to_agent") if has("handoff") else None,
        prompt=PromptUse(slug=prompt.slug, version=prompt.version or None, tag=prompt.tag or None)
        if has("prompt")
        else None,
        variables=tuple(Variable(label=name, value=variables[name]) for name in sorted(variables)),
    )


def _of(kind: type[Any], message: Any, *names: str) -> Any:
    return kind(**{name: getattr(message, name) for name in names})


def _fill_io(span: Span, kind: str, operation: str) -> list[str]:
    """Fill the inputs and outputs of the events view from the messages; which of the two were
    filled."""
    io, genai = span.io, span.genai
    if kind == "tool" or operation == "embeddings":
        return []
    names = []
    for name, messages, make in (
        ("inputs", genai.input_messages, inputs_of),
        ("outputs", genai.output_messages, outputs_of),
    ):
        if messages and getattr(io, name) is None and (value := make(messages)) is not None:
            setattr(io, name, value)
            names.append(name)
    return names
