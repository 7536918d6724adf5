"""The kinds of spans, which the model spells by a kind, an operation and the type of a log."""

from __future__ import annotations

from typing import Final

from spanloom.model import Span
from spanloom.v1 import span_pb2 as pb

# The kind of the model and the type of a log.
COLUMNS_OF_KINDS: Final = {
    int(pb.SPAN_KIND_STEP): ("chain", ""),
    int(pb.SPAN_KIND_MODEL): ("model", ""),
    int(pb.SPAN_KIND_TOOL): ("tool", ""),
    int(pb.SPAN_KIND_AGENT): ("chain", ""),
    int(pb.SPAN_KIND_RETRIEVAL): ("tool", "retrieval"),
    int(pb.SPAN_KIND_CONVERSATION): ("session", ""),
    int(pb.SPAN_KIND_FUNCTION): ("tool", "function"),
    int(pb.SPAN_KIND_EVENT): ("chain", "event"),
}
OPERATIONS_OF_KINDS: Final = {
    int(pb.SPAN_KIND_MODEL): "chat",
    int(pb.SPAN_KIND_TOOL): "execute_tool",
    int(pb.SPAN_KIND_AGENT): "invoke_agent",
}
_OF_OPERATIONS: Final = {
    **dict.fromkeys(
        ("chat", "generate_content", "text_completion", "embeddings"), int(pb.SPAN_KIND_MODEL)
    ),
    **dict.fromkeys(("invoke_agent", "create_agent"), int(pb.SPAN_KIND_AGENT)),
    "execute_tool": int(pb.SPAN_KIND_TOOL),
    "retrieval": int(pb.SPAN_KIND_RETRIEVAL),
}
_OF_LOG_TYPES: Final = {
    "generation": int(pb.SPAN_KIND_MODEL),
    "tool": int(pb.SPAN_KIND_TOOL),
    "function": int(pb.SPAN_KIND_FUNCTION),
    "retrieval": int(pb.SPAN_KIND_RETRIEVAL),
    "event": int(pb.SPAN_KIND_EVENT),
    "span": int(pb.SPAN_KIND_STEP),
}
_OF_COLUMNS: Final = {
    "model": int(pb.SPAN_KIND_MODEL),
    "tool": int(pb.SPAN_KIND_TOOL),
    "session": int(pb.SPAN_KIND_CONVERSATION),
}


def kind_of_operation(operation: str) -> int:
    """The kind that an operation of OpenTelemetry's GenAI conventions implies; 0 for none."""
    return _OF_OPERATIONS.get(operation, 0)


def kind_of(span: Span) -> int:
    """The kind of a span, whatever adapter wrote it."""
    if span.log_type in _OF_LOG_TYPES:
        return _OF_LOG_TYPES[span.log_type]
    return kind_of_columns(span.kind, span.operation)


def kind_of_columns(kind: str, operation: str) -> int:
    """The kind of a span of which only the columns are read."""
    by_operation = kind_of_operation(operation)
    # The root of a trace that came as one, which is an agent's work.
    if by_operation == pb.SPAN_KIND_AGENT and kind in ("chain", "session"):
        return by_operation
    if by_operation == pb.SPAN_KIND_RETRIEVAL and kind == "tool":
        return by_operation
    return _OF_COLUMNS.get(kind, int(pb.SPAN_KIND_STEP))
