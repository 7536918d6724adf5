"""Spans of a running program: the tree follows the calls, through threads' and tasks' contexts."""

from __future__ import annotations

import inspect
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final, Literal, TypedDict, Unpack

from spanloom.client.values import text, timestamp_of, to_attribute, to_struct, to_value
from spanloom.v1 import span_pb2 as pb

Kind = Literal["step", "model", "tool", "agent", "retrieval", "conversation", "function", "event"]


class Facts(TypedDict, total=False):
    """What a program may say of a span, before or while it runs. Every field of the span can also
    be set in `RecordedSpan.message`."""

    input: Any
    output: Any
    kind: Kind
    conversation_id: str
    user_id: str
    feature: str
    environment: str
    experiment_id: str
    agent: str
    tool: str
    provider: str
    model: str
    response_model: str
    input_tokens: int
    output_tokens: int
    cost_usd: float
    attributes: Mapping[str, Any]
    metadata: Mapping[str, Any]


def _kind(span: pb.Span, value: str) -> None:
    span.kind = pb.SpanKind.Value(f"SPAN_KIND_{value.upper()}")


def _attributes(span: pb.Span, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        span.attributes[text(name)].CopyFrom(to_attribute(value))


def _at(path: str) -> Callable[[pb.Span, Any], None]:
    """A function that sets the scalar field at a path."""
    *parents, name = path.split(".")

    def write(span: pb.Span, value: Any) -> None:
        message: Any = span
        for parent in parents:
            message = getattr(message, parent)
        setattr(message, name, text(value) if isinstance(value, str) else value)

    return write


_WRITE: Final[dict[str, Callable[[pb.Span, Any], None]]] = {
    "input": lambda span, value: span.input.CopyFrom(to_value(value)),
    "output": lambda span, value: span.output.CopyFrom(to_value(value)),
    "kind": _kind,
    "conversation_id": _at("conversation_id"),
    "user_id": _at("user.id"),
    "feature": _at("feature"),
    "environment": _at("environment"),
    "experiment_id": _at("experiment_id"),
    "agent": _at("agent.name"),
    "tool": _at("tool.name"),
    "provider": _at("model.provider"),
    "model": _at("model.request_model"),
    "response_model": _at("model.response_model"),
    "input_tokens": _at("model.input_tokens"),
    "output_tokens": _at("model.output_tokens"),
    "cost_usd": _at("model.cost_usd"),
    "attributes": _attributes,
    "metadata": lambda span, value: span.metadata.MergeFrom(to_struct(value)),
}


class RecordedSpan:
    """A span that is under way. It is sent when its block ends.

    Attributes:
        message: The span as it will be sent.
    """

    def __init__(self, message: pb.Span) -> None:
        self.message = message

    @property
    def trace_id(self) -> str:
        return self.message.trace_id

    @property
    def span_id(self) -> str:
        return self.message.span_id

    def update(self, **facts: Unpack[Facts]) -> None:
        """State more facts; a later one replaces an earlier one, and attributes are added."""
        for name, value in facts.items():
            if name not in _WRITE:
                raise TypeError(f"a span has no fact {name!r}")
            if value is not None:
                _WRITE[name](self.message, value)

    def fail(self, error: BaseException | str) -> None:
        """Mark the span as failed. An exception that leaves its block does the same."""
        status = self.message.status
        status.code = pb.STATUS_CODE_ERROR
        status.message = text(error)
        if isinstance(error, BaseException):
            status.error_type = type(error).__qualname__


_CURRENT: ContextVar[RecordedSpan | None] = ContextVar("spanloom_span", default=None)


def current_span() -> RecordedSpan | None:
    """The innermost span that the running code records, if any."""
    return _CURRENT.get()


@contextmanager
def recording(name: str, facts: Facts) -> Iterator[RecordedSpan]:
    """A span below the current one, which is the current one inside the block. It ends with it."""
    parent = _CURRENT.get()
    message = pb.Span(span_id=secrets.token_hex(8), name=text(name))
    if parent is None:
        message.trace_id = secrets.token_hex(16)
    else:
        message.trace_id = parent.trace_id
        message.parent_span_id = parent.span_id
        message.conversation_id = parent.message.conversation_id
        if parent.message.agent.name:
            message.agent.CopyFrom(parent.message.agent)
    span = RecordedSpan(message)
    span.update(**facts)
    # The clock of the machine may be set back meanwhile, the monotonic one not.
    start, began = time.time_ns(), time.monotonic_ns()
    message.start_time.CopyFrom(timestamp_of(start))
    _CURRENT.set(span)
    try:
        yield span
    except GeneratorExit:
        raise  # the caller of a generator has read enough of it
    except BaseException as error:
        span.fail(error)
        raise
    finally:
        # Not by a token: a generator may be closed in another context than it began in.
        _CURRENT.set(parent)
        message.end_time.CopyFrom(timestamp_of(start + time.monotonic_ns() - began))
        if message.status.code == pb.STATUS_CODE_UNSPECIFIED:
            message.status.code = pb.STATUS_CODE_OK


def arguments_of(function: Callable[..., Any], args: Any, kwargs: Any) -> dict[str, Any]:
    """The arguments of a call by their names, without those of methods for the object itself."""
    try:
        bound = inspect.signature(function).bind(*args, **kwargs)
    except (TypeError, ValueError):  # the call itself will fail, or has no signature
        return {"args": list(args), **kwargs}
    return {name: value for name, value in bound.arguments.items() if name not in ("self", "cls")}
