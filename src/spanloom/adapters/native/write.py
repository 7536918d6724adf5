"""Spans of the model, whatever adapter wrote them, as spans of Spanloom's own API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration

from spanloom.adapters.native.kinds import kind_of
from spanloom.adapters.native.values import fill_attributes, fill_messages, int64
from spanloom.adapters.recorded import OTLP, recorded
from spanloom.codec.json_fields import put_json
from spanloom.codec.timestamps import timestamp_from_ns
from spanloom.genai.chat_history import inputs_of, outputs_of
from spanloom.genai.read import messages_of as messages_in
from spanloom.genai.roles import ASSISTANT, USER
from spanloom.model import MAX_TIME_NS, NO_BODY, STATUSES, Json, Span
from spanloom.model.genai import GenAiMessage
from spanloom.model.span import NATIVE, NO_TRACE
from spanloom.v1 import span_pb2 as pb

ORIGINS: Final = {
    NATIVE: pb.SPAN_ORIGIN_SPANS,
    "basalt": pb.SPAN_ORIGIN_TRACES,
    "honeyhive": pb.SPAN_ORIGIN_EVENTS,
    OTLP: pb.SPAN_ORIGIN_OPEN_TELEMETRY,
}
_COST_SOURCES: Final = {
    "given": pb.COST_SOURCE_GIVEN,
    "computed": pb.COST_SOURCE_COMPUTED,
}
_ENVIRONMENTS: Final = ("deployment.environment.name", "deployment.environment")
# What the events API stores for an event that names no source.
_NO_SOURCE: Final = "unknown"
_KINDS: Final = {
    name.removeprefix("OTEL_"): number for name, number in pb.OtelSpanKind.items() if number
}
_NS_PER_S: Final = 10**9
_MOST_UINT32: Final = 2**32 - 1


def span_message(span: Span, *, basic: bool = False) -> pb.Span:
    """The span.

    Args:
        basic: What SPAN_VIEW_BASIC has.
    """
    message = pb.Span(
        trace_id=span.trace_id,
        span_id=span.span_id,
        parent_span_id=span.parent_id,
        conversation_id=span.session_id,
        conversation_name=span.conversation_name,
        event_id=span.event_id,
        name=span.name,
        kind=pb.SpanKind.ValueType(shown_kind(span)),
        operation=span.operation,
        start_time=timestamp_from_ns(span.start_ns),
        feature=span.trace.feature_slug or "",
        experiment_id=span.trace.experiment_id or "",
        environment=environment_of(span),
        origin=ORIGINS.get(span.sent.adapter, pb.SPAN_ORIGIN_UNSPECIFIED),
    )
    if span.end_ns is not None:
        message.end_time.CopyFrom(timestamp_from_ns(span.end_ns))
    if span.duration_ms is not None:
        message.duration.CopyFrom(_duration(span))
    if "update_ns" in span.sent.fields and _is_native(span):
        message.update_time.CopyFrom(timestamp_from_ns(span.sent.fields["update_ns"]))
    _put_status(message, span)
    _put_agent(message, span)
    _put_model(message, span)
    _put_tool(message, span)
    _put_trace(message, span, basic)
    _put_handover(message, span, basic)
    _put_recorded(message, span, basic)
    if not basic:
        message.system_instructions = span.genai.system_instructions
        asked, answered = messages_of(span)
        fill_messages(message.input_messages, asked)
        fill_messages(message.output_messages, answered)
        values = {name: get(span) for name, get in JSON_FIELDS.items()}
        put_json(message, {name: value for name, value in values.items() if value is not None})
    return message


def messages_of(span: Span) -> tuple[Sequence[GenAiMessage], Sequence[GenAiMessage]]:
    """The messages that went in, and those that came out; of a span that was written natively also
    those that its input and output hold."""
    genai, io = span.genai, span.io
    asked, answered = genai.input_messages, genai.output_messages
    speaks = span.kind == "model" or span.operation == "invoke_agent"
    if _is_native(span) and speaks and span.operation != "embeddings":
        return (
            asked or messages_in(io.inputs, USER),
            answered or messages_in(io.outputs, ASSISTANT),
        )
    return asked, answered


def shown_kind(span: Span) -> int:
    """The number of the span's kind, as it was sent or as the span's columns tell it."""
    return (_is_native(span) and span.sent.fields.get("kind")) or kind_of(span)


def _is_native(span: Span) -> bool:
    return span.sent.adapter == NATIVE


def _duration(span: Span) -> Duration:
    # A float of milliseconds near the limit is rounded past it.
    ns = min(round((span.duration_ms or 0) * 1e6), MAX_TIME_NS)
    if _is_native(span):
        exact = span.sent.fields.get("duration_ns", ns)
        if exact / 1e6 == span.duration_ms:
            ns = exact
    seconds, nanos = divmod(ns, _NS_PER_S)
    return Duration(seconds=seconds, nanos=nanos)


def _put_status(message: pb.Span, span: Span) -> None:
    code = STATUSES.index(span.status) if span.status in STATUSES else 0
    said = status_message_of(span)
    if code or said or span.error_type:
        message.status.code = pb.StatusCode.ValueType(code)
        message.status.message = said
        message.status.error_type = span.error_type


def status_message_of(span: Span) -> str:
    """What the status says, in whatever field the span has it."""
    return span.status_message or span.io.error or ""


def _put_agent(message: pb.Span, span: Span) -> None:
    agent = span.genai.agent
    if not span.agent_name and agent is None:
        return
    message.agent.name = span.agent_name
    if agent is not None:
        message.agent.id, message.agent.version = agent.id, agent.version
        message.agent.description = agent.description


def _put_model(message: pb.Span, span: Span) -> None:
    call = model_call(span)
    if call is not None:
        message.model.CopyFrom(call)


def model_call(span: Span) -> pb.ModelCall | None:
    """What the span says of a call of a model; None if it says nothing."""
    genai = span.genai
    call = pb.ModelCall(
        provider=span.provider,
        request_model="" if "request_model" in _filled(span) else span.model,
        response_model=genai.response_model,
        input_tokens=span.input_tokens,
        output_tokens=span.output_tokens,
        cost_usd=span.cost,
    )
    if used := genai.usage:
        for name in ("reasoning_tokens", "cache_read_tokens", "cache_creation_tokens"):
            if (value := int64(getattr(used, name))) is not None:
                setattr(call, name, value)
        for name in ("input_cost", "output_cost"):
            if (cost := getattr(used, name)) is not None:
                setattr(call, f"{name}_usd", cost)
    if span.cost is not None:
        source = genai.usage.cost_source if genai.usage else ""
        call.cost_source = _COST_SOURCES.get(source, pb.COST_SOURCE_GIVEN)
    return call if call.ByteSize() else None


def _filled(span: Span) -> Any:
    return span.sent.fields.get("filled", ()) if _is_native(span) else ()


def tool_name_of(span: Span) -> str:
    """The name of the tool that the span executed, "" for none. Other APIs than this one name a
    tool by the span's name."""
    if span.genai.tool is not None and span.genai.tool.name:
        return span.genai.tool.name
    is_tool = span.kind == "tool" and not _is_native(span)
    return span.name.removeprefix("execute_tool ") if is_tool else ""


def _put_tool(message: pb.Span, span: Span) -> None:
    tool, name = span.genai.tool, tool_name_of(span)
    if tool is None and not name:
        return
    message.tool.name = name
    if tool is not None:
        message.tool.call_id, message.tool.type = tool.call_id, tool.type
        message.tool.description = tool.description


def _put_trace(message: pb.Span, span: Span, basic: bool) -> None:
    said, properties = span.trace, span.io.user_properties
    if said.user is not None or (properties is not None and not basic):
        message.user.SetInParent()
    if said.user is not None:
        _fill(message.user, said.user, "id", "name", "email")
    if properties is not None and not basic:
        put_json(message.user, {"properties": properties})
    if said is NO_TRACE:
        return
    if said.organization is not None:
        _fill(message.organization, said.organization, "id", "name")
    message.evaluation.evaluators.extend(said.evaluators)
    if said.evaluation_rate is not None:
        message.evaluation.sample_rate = said.evaluation_rate
    if said.sampled is not None:
        message.evaluation.sampled = said.sampled


def _put_handover(message: pb.Span, span: Span, basic: bool) -> None:
    genai = span.genai
    if genai.prompt is not None:
        _fill(message.prompt, genai.prompt, "slug", "version", "tag")
    for variable in genai.variables:
        message.prompt.variables[variable.label] = variable.value or ""
    if genai.handoff is not None:
        _fill(message.handoff, genai.handoff, "from_agent", "to_agent")
    if genai.compaction is not None and not basic:
        message.compaction.CopyFrom(compaction_message(genai.compaction))


def compaction_message(compaction: Any) -> pb.Span.Compaction:
    return pb.Span.Compaction(
        summary=compaction.summary,
        items_before=int64(compaction.items_before),
        items_after=int64(compaction.items_after),
    )


def _put_recorded(message: pb.Span, span: Span, basic: bool) -> None:
    found = recorded(span)
    resource, scope = found.get("resource") or NO_BODY, found.get("scope") or NO_BODY
    if scope and "absent" not in scope:
        message.scope.SetInParent()
    elif span.instrumentation:
        message.scope.name = span.instrumentation
    for name in ("name", "version", "schema_url"):
        if name in scope:
            setattr(message.scope, name, scope[name])
    if "attributes" in scope:
        fill_attributes(message.scope.attributes, scope["attributes"])
    _put_otel(message.open_telemetry, found, resource)
    if basic:
        return
    fill_attributes(message.attributes, found.get("attributes"))
    fill_attributes(message.resource, resource.get("attributes"))
    for event in found.get("events", ()):
        made = message.events.add(
            time=timestamp_from_ns(event.get("time_ns", 0)), name=event.get("name", "")
        )
        _put_facts(made, event)
    for link in found.get("links", ()):
        names = ("trace_id", "span_id", "trace_state", "flags")
        _put_facts(message.links.add(**{name: link[name] for name in names if name in link}), link)


def _put_facts(message: Any, holder: Mapping[str, Json]) -> None:
    fill_attributes(message.attributes, holder.get("attributes"))
    message.dropped_attribute_count = min(holder.get("dropped", 0), _MOST_UINT32)


def _put_otel(
    message: pb.Span.OpenTelemetry, found: Mapping[str, Json], resource: Mapping[str, Json]
) -> None:
    """Set what is there; without any of it the message stays unset."""
    kind = found.get("span_kind", 0)
    dropped = found.get("dropped", NO_BODY)
    values = {
        "kind": _KINDS.get(kind, 0) if isinstance(kind, str) else kind,
        "trace_state": found.get("trace_state", ""),
        "flags": found.get("flags", 0),
        "dropped_attribute_count": dropped.get("attributes", 0),
        "dropped_event_count": dropped.get("events", 0),
        "dropped_link_count": dropped.get("links", 0),
        "resource_schema_url": resource.get("schema_url", ""),
    }
    for name, value in values.items():
        if value:
            setattr(message, name, value)


def environment_of(span: Span) -> str:
    """The deployment that sent the span."""
    source = span.io.source or ""
    if source and source != _NO_SOURCE:
        return source
    resource = (recorded(span).get("resource") or NO_BODY).get("attributes")
    named = dict(resource) if isinstance(resource, dict) else {}
    found = next((named[name] for name in _ENVIRONMENTS if name in named), "")
    return found if isinstance(found, str) else ""


def _fill(message: Any, part: Any, *names: str) -> None:
    message.SetInParent()
    for name in names:
        if value := getattr(part, name):
            setattr(message, name, value)


# The JSON of a span, by the name of its field, with all digits of integers.


def _input(span: Span) -> Json:
    io, genai = span.io, span.genai
    if "inputs" in _filled(span) and io.inputs == inputs_of(genai.input_messages):
        return None
    return _exact(io.inputs, genai.tool and genai.tool.arguments, "input")


def _output(span: Span) -> Json:
    io, genai = span.io, span.genai
    if "outputs" in _filled(span) and io.outputs == outputs_of(genai.output_messages):
        return None
    return _exact(io.outputs, genai.tool and genai.tool.result, "result")


def _exact(shown: Json, exact: Json, key: str) -> Json:
    """A tool's arguments or result as they were, where the events view holds them in an object."""
    if exact is None:
        return shown
    return exact if shown in (None, exact, {key: exact}) else shown


JSON_FIELDS: Final[Mapping[str, Any]] = {
    "input": _input,
    "output": _output,
    "expected_output": lambda span: span.io.ideal_output,
    "tool_definitions": lambda span: span.genai.tool_definitions,
    "metadata": lambda span: span.io.metadata,
    "metrics": lambda span: span.io.metrics,
    "config": lambda span: span.io.config,
    "feedback": lambda span: span.io.feedback,
}
