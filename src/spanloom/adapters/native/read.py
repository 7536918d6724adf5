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
from functools import partial
from typing import Any, Final

from google.protobuf.struct_pb2 import Value

from spanloom.adapters.native.kinds import (
    COLUMNS_OF_KINDS,
    OPERATIONS_OF_KINDS,
    kind_of,
    kind_of_operation,
)
from spanloom.adapters.native.values import attributes_json, messages_of
from spanloom.adapters.recorded import NATIVE
from spanloom.codec.required_fields import missing_fields
from spanloom.codec.struct_reader import struct_object, value_object
from spanloom.codec.struct_writer import value_wire
from spanloom.codec.timestamps import ns_from_timestamp, timestamp_from_ns
from spanloom.genai.chat_history import inputs_of, outputs_of
from spanloom.genai.pricing import cost_of
from spanloom.genai.read import messages_of as messages_in
from spanloom.genai.read import received
from spanloom.genai.reading import count, identifier, lowered, structured, text
from spanloom.genai.roles import ASSISTANT, USER
from spanloom.model import MAX_TIME_NS, STATUSES, GenAi, Io, Json, Sent, Span, TraceFacts
from spanloom.model.checks import Violations
from spanloom.model.genai import Agent, Compaction, Handoff, Tool, Usage
from spanloom.model.sampling import sampling_decision
from spanloom.model.span import NO_IO, Party, PromptUse, Variable
from spanloom.model.times import OUT_OF_RANGE
from spanloom.v1 import span_pb2 as pb

UNKNOWN: Final = "unknown"
_NS_PER_S: Final = 10**9
_OTEL_KINDS: Final = {
    number: name.removeprefix("OTEL_") for name, number in pb.OtelSpanKind.items() if number
}
# The attribute that sets a field, how its value is read, and the field.
_Rule = tuple[Callable[[Json], Json], str]
_RULES: Final[Mapping[str, _Rule]] = {
    "gen_ai.conversation.id": (identifier, "conversation_id"),
    "gen_ai.operation.name": (lowered, "operation"),
    "gen_ai.provider.name": (lowered, "model.provider"),
    "gen_ai.request.model": (text, "model.request_model"),
    "gen_ai.response.model": (text, "model.response_model"),
    "gen_ai.usage.input_tokens": (count, "model.input_tokens"),
    "gen_ai.usage.output_tokens": (count, "model.output_tokens"),
    "gen_ai.usage.reasoning.output_tokens": (count, "model.reasoning_tokens"),
    "gen_ai.usage.cache_read.input_tokens": (count, "model.cache_read_tokens"),
    "gen_ai.usage.cache_creation.input_tokens": (count, "model.cache_creation_tokens"),
    "gen_ai.agent.name": (text, "agent.name"),
    "gen_ai.agent.id": (identifier, "agent.id"),
    "gen_ai.agent.version": (identifier, "agent.version"),
    "gen_ai.agent.description": (text, "agent.description"),
    "gen_ai.tool.name": (text, "tool.name"),
    "gen_ai.tool.call.id": (identifier, "tool.call_id"),
    "gen_ai.tool.type": (text, "tool.type"),
    "gen_ai.tool.description": (text, "tool.description"),
    "gen_ai.tool.call.arguments": (structured, "input"),
    "gen_ai.tool.call.result": (structured, "output"),
    "gen_ai.tool.definitions": (structured, "tool_definitions"),
    "error.type": (text, "status.error_type"),
}
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
_COSTS: Final = ("cost_usd", "input_cost_usd", "output_cost_usd")


def read_spans(
    spans: Sequence[pb.Span], *, received_ns: int, bad: Violations, field: str = "spans"
) -> list[Span]:
    """The columns of spans, for a store, which has the rest restored by `restore`.

    Args:
        bad: Gathers what is wrong, with paths below `field`, and refuses all if anything is.
    """
    found: list[pb.Span] = []
    first_at: dict[tuple[str, str], int] = {}
    for index, sent in enumerate(spans):
        at = f"{field}[{index}]."
        for path in missing_fields(sent, at):
            bad.add(path, "is required")
        span = _filled(sent)
        _check(span, at, bad)
        first = first_at.setdefault((span.trace_id, span.span_id), index)
        if first != index:
            bad.same_id(f"{at}span_id", f"{field}[{first}].span_id")
        found.append(sent)
    bad.refuse()
    conversations = {
        span.trace_id: span.conversation_id
        for span in map(_filled, found)
        if not span.parent_span_id and span.conversation_id
    }
    return [_brief(span, received_ns, conversations.get(span.trace_id, "")) for span in found]


def restore(message: bytes, envelope: bytes, columns: Span) -> Span:
    """The whole of a span that `read_spans` read."""
    return _span(_filled(pb.Span.FromString(message)), columns.start_ns, columns.session_id)


def _brief(sent: pb.Span, received_ns: int, conversation_id: str) -> Span:
    span = _span(_filled(sent), received_ns, conversation_id, brief=True)
    kept = pb.Span()
    kept.CopyFrom(sent)
    for name in ("origin", "text_cuts"):
        kept.ClearField(name)
    if kept.HasField("evaluation"):
        kept.evaluation.ClearField("sampled")
    kept.update_time.CopyFrom(timestamp_from_ns(received_ns))
    span.sent = Sent(NATIVE, message=kept.SerializeToString(deterministic=True))
    return span


def _filled(sent: pb.Span) -> pb.Span:
    """The span with the fields that its attributes set; the span itself where they set none."""
    if not sent.attributes:
        return sent
    rules = [(name, _RULES[name]) for name in sorted(sent.attributes) if name in _RULES]
    if not rules:
        return sent
    span = pb.Span()
    span.CopyFrom(sent)
    for name, (read, path) in rules:
        value = read(_plain(sent.attributes[name]))
        if value is None:
            continue
        holder, _, field = path.rpartition(".")
        message: Any = getattr(span, holder) if holder else span
        if isinstance(getattr(message, field), Value):
            if not message.HasField(field):
                getattr(message, field).MergeFromString(value_wire(value))
        elif not getattr(message, field) and not (
            message.DESCRIPTOR.fields_by_name[field].has_presence and message.HasField(field)
        ):
            setattr(message, field, value)
    return span


def _plain(value: pb.AttributeValue) -> Json:
    """A scalar attribute, or a list or map of them, as ordinary JSON."""
    kind = value.WhichOneof("value")
    if kind == "list_value":
        return [_plain(item) for item in value.list_value.values]
    if kind == "map_value":
        fields = value.map_value.fields
        return {name: _plain(fields[name]) for name in sorted(fields)}
    if kind is None or kind == "bytes_value":
        return None
    found = getattr(value, kind)
    return None if kind == "double_value" and not math.isfinite(found) else found


def _check(span: pb.Span, at: str, bad: Violations) -> None:
    for name in ("trace_id", "span_id", "parent_span_id", "conversation_id", "event_id"):
        if value := getattr(span, name):
            bad.check_id(at + name, value)
    for path in _TEXT_COLUMNS:
        holder, _, name = path.rpartition(".")
        bad.check_text(at + path, getattr(getattr(span, holder) if holder else span, name))
    _check_times(span, at, bad)
    if span.status.code not in pb.StatusCode.values():
        bad.add(at + "status.code", f"{span.status.code} is no StatusCode")
    for name in _COUNTS:
        if getattr(span.model, name) < 0:
            bad.add(f"{at}model.{name}", "must not be negative")
    for name in _COSTS:
        cost = getattr(span.model, name)
        if not (cost >= 0 and math.isfinite(cost)):
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
    cost = _cost(model, column, start_ns)
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
    sent = _recorded(span)
    if kind_of(found) != kind:
        sent["kind"] = kind
    if duration_ms is not None and round(duration_ms * 1e6) != length_ns:
        sent["duration_ns"] = length_ns
    found.io, found.genai = _io(span), _genai(span, cost)
    filled = _fill_io(found, column, operation)
    if model.response_model and not model.request_model:
        filled.append("request_model")
    if filled:
        sent["filled"] = filled
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


class _Cost:
    """What a call cost in US dollars; `source` as of `Usage`."""

    __slots__ = ("input", "output", "source", "total")

    def __init__(self, total: float | None, input: float | None, output: float | None) -> None:
        self.total, self.input, self.output = total, input, output
        self.source: Any = "" if total is None else "given"


def _cost(model: pb.ModelCall, kind: str, start_ns: int) -> _Cost:
    """As given, else by the price list for a model's call."""
    total, entered, left = (
        getattr(model, name) if model.HasField(name) else None for name in _COSTS
    )
    if total is None and entered is not None and left is not None:
        total = entered + left
    given = _Cost(total, entered, left)
    has_tokens = model.HasField("input_tokens") or model.HasField("output_tokens")
    if total is not None or kind != "model" or not has_tokens:
        return given
    for name in filter(None, (model.response_model, model.request_model)):
        found = cost_of(
            model.provider.lower(),
            name,
            at_ns=start_ns,
            input_tokens=model.input_tokens,
            output_tokens=model.output_tokens,
            cache_read=model.cache_read_tokens,
            cache_written=model.cache_creation_tokens,
        )
        if found:
            computed = _Cost(found.total, found.input, found.output)
            computed.source = "computed"
            return computed
    return given


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


def _io(span: pb.Span) -> Io:
    def json(name: str) -> Json:
        return value_object(getattr(span, name)) if span.HasField(name) else None

    def fields(holder: Any, name: str) -> Mapping[str, Json] | None:
        return struct_object(getattr(holder, name)) if holder.HasField(name) else None

    return Io(
        inputs=json("input"),
        outputs=json("output"),
        ideal_output=json("expected_output"),
        config=fields(span, "config"),
        metadata=fields(span, "metadata"),
        metrics=fields(span, "metrics"),
        feedback=fields(span, "feedback"),
        user_properties=fields(span.user, "properties"),
        source=span.environment or None,
    )


def _genai(span: pb.Span, cost: _Cost) -> GenAi:
    said, answered = (
        received(_plain(span.attributes[name]), role)
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
    has = partial(span.HasField)
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
    """Fill messages that the input and the output hold, or the other way round; which of `inputs`
    and `outputs` were filled."""
    io, genai = span.io, span.genai
    if kind == "tool" or operation == "embeddings":
        return []
    filled = []
    speaks = kind == "model" or operation == "invoke_agent"
    if genai.input_messages:
        if io.inputs is None and (inputs := inputs_of(genai.input_messages)) is not None:
            io.inputs = inputs
            filled.append("inputs")
    elif speaks and io.inputs is not None:
        genai.input_messages = messages_in(io.inputs, USER)
    if genai.output_messages:
        if io.outputs is None and (outputs := outputs_of(genai.output_messages)) is not None:
            io.outputs = outputs
            filled.append("outputs")
    elif speaks and io.outputs is not None:
        genai.output_messages = messages_in(io.outputs, ASSISTANT)
    return filled


def _recorded(span: pb.Span) -> dict[str, Json]:
    otel = span.open_telemetry
    names = ("attributes", "events", "links")
    dropped = (
        otel.dropped_attribute_count,
        otel.dropped_event_count,
        otel.dropped_link_count,
    )
    scope = span.scope
    found: dict[str, Json] = {
        "attributes": attributes_json(span.attributes),
        "events": [_event(event) for event in span.events],
        "links": [_link(link) for link in span.links],
        "span_kind": _OTEL_KINDS.get(otel.kind, otel.kind),
        "trace_state": otel.trace_state,
        "flags": otel.flags,
        "dropped": _set(dict(zip(names, dropped, strict=True))),
        "resource": _set(
            {
                "attributes": attributes_json(span.resource),
                "schema_url": otel.resource_schema_url,
            }
        ),
        "scope": _set(
            {
                "name": scope.name,
                "version": scope.version,
                "attributes": attributes_json(scope.attributes),
                "schema_url": scope.schema_url,
            }
        ),
    }
    return _set(found)


def _event(event: pb.SpanEvent) -> dict[str, Json]:
    return _set(
        {
            "name": event.name,
            "time_ns": ns_from_timestamp(event.time),
            "attributes": attributes_json(event.attributes),
            "dropped": event.dropped_attribute_count,
        }
    )


def _link(link: pb.SpanLink) -> dict[str, Json]:
    return _set(
        {
            "trace_id": link.trace_id,
            "span_id": link.span_id,
            "trace_state": link.trace_state,
            "flags": link.flags,
            "attributes": attributes_json(link.attributes),
            "dropped": link.dropped_attribute_count,
        }
    )


def _set(values: Mapping[str, Json]) -> dict[str, Json]:
    """Those that are not zero, empty or unset."""
    return {name: value for name, value in values.items() if value}
