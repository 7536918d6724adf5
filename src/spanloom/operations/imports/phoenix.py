"""Phoenix's spans as spans of OpenTelemetry, which they were: with OpenInference's attributes.

They come as /v1/projects/{project}/spans answers (`context.trace_id` inside `context`, attributes
in one object), or as the rows of the client's data frame (`context.trace_id`, `attributes.*`; in
Parquet, or in JSON as pandas writes it).

Sources: Arize-ai/phoenix, src/phoenix/server/api/routers/v1/spans.py and
src/phoenix/trace/attributes.py (recorded from 20.26.1).
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from opentelemetry.proto.common.v1.common_pb2 import AnyValue
from opentelemetry.proto.trace.v1 import trace_pb2

from spanloom.operations.imports.records import time_ns

_TRACE_ID: Final = re.compile(r"(?!0{32})[0-9a-f]{32}", re.IGNORECASE)
_SPAN_ID: Final = re.compile(r"(?!0{16})[0-9a-f]{16}", re.IGNORECASE)
# Attributes that OpenInference has as the text of a JSON object; Phoenix shows what they hold.
_JSON_TEXTS: Final = frozenset(
    {
        *("metadata", "document.metadata", "llm.invocation_parameters", "input.value"),
        *("llm.prompt_template.variables", "tool.parameters", "tool.json_schema", "output.value"),
    }
)
# The REST API has their members as attributes.
_MEMBER: Final = re.compile(
    r"(metadata|llm\.prompt_template\.variables|tool\.parameters"
    r"|(?:\w+\.)*document\.metadata)\.(.+)",
    re.DOTALL,
)
_STATUSES: Final = {
    "OK": trace_pb2.Status.STATUS_CODE_OK,
    "ERROR": trace_pb2.Status.STATUS_CODE_ERROR,
}
_DEEPEST: Final = 20
_KIND: Final = "openinference.span.kind"
_COLUMN: Final = "attributes."


def span_of(record: Mapping[str, Any]) -> trace_pb2.Span:
    """The span of a record.

    Raises:
        ValueError: It says what is wrong.
    """
    context = record.get("context")
    if not isinstance(context, dict):
        context = {name: record.get(f"context.{name}") for name in ("trace_id", "span_id")}
    span = trace_pb2.Span(
        trace_id=_id(context, "trace_id", _TRACE_ID),
        span_id=_id(context, "span_id", _SPAN_ID),
        name=_text(record.get("name")),
    )
    if _text(record.get("parent_id")):
        span.parent_span_id = _id(record, "parent_id", _SPAN_ID)
    start, end = time_ns(record.get("start_time")), time_ns(record.get("end_time"))
    if start is None or start < 0:
        raise ValueError("start_time: is required")
    span.start_time_unix_nano = start
    span.end_time_unix_nano = 0 if end is None else max(start, end)
    span.status.code = _STATUSES.get(
        _text(record.get("status_code")).upper(), trace_pb2.Status.STATUS_CODE_UNSET
    )
    span.status.message = _text(record.get("status_message"))
    found = _with_texts(_attributes(record))
    kind = _text(record.get("span_kind"))
    if kind and kind != "UNKNOWN":
        found.setdefault(_KIND, kind)
    _put(span, found)
    events = _loaded(record.get("events"))
    for event in events if isinstance(events, Sequence) and not isinstance(events, str) else ():
        if isinstance(event, dict):
            made = span.events.add(
                name=_text(event.get("name")), time_unix_nano=time_ns(event.get("timestamp")) or 0
            )
            _put(made, dict(_flat("", event.get("attributes") or {})))
    return span


def _id(row: Mapping[str, Any], name: str, form: re.Pattern[str]) -> bytes:
    value = _text(row.get(name))
    if not form.fullmatch(value):
        raise ValueError(f"{name}: {value[:64]!r} is no id of OpenTelemetry")
    return bytes.fromhex(value)


def _attributes(record: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """All attributes by their whole key."""
    together = _loaded(record.get("attributes"))
    if isinstance(together, dict):
        yield from _flat("", together)
    for name, value in record.items():
        if name.startswith(_COLUMN):
            yield from _flat(name.removeprefix(_COLUMN), value)


def _with_texts(attributes: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """The attributes, with the members of those of _JSON_TEXTS as the text of one object."""
    found: dict[str, Any] = {}
    objects: dict[str, dict[str, Any]] = {}
    for key, value in attributes:
        if member := _MEMBER.fullmatch(key):
            objects.setdefault(member[1], {})[member[2]] = value
        else:
            found[key] = value
    for key, members in objects.items():
        found.setdefault(key, json.dumps(members, default=str))
    return found


def _flat(key: str, value: Any, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """The attributes that Phoenix has made a tree of, as OpenInference spells them: with the
    numbers of the elements of lists of objects in the keys."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return
    is_text = key in _JSON_TEXTS or key.endswith(".document.metadata") or depth > _DEEPEST
    if is_text and not isinstance(value, str):
        yield key, json.dumps(_without_nothing(value), default=str)
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _flat(f"{key}.{name}" if key else str(name), inner, depth + 1)
    elif isinstance(value, list | tuple) and any(isinstance(item, dict) for item in value):
        for index, inner in enumerate(value):
            yield from _flat(f"{key}.{index}", inner, depth + 1)
    elif key:
        yield key, value


def _without_nothing(value: Any) -> Any:
    """Without what Parquet adds to an object: the fields of others in its column, as null."""
    if isinstance(value, dict):
        return {k: _without_nothing(v) for k, v in value.items() if v is not None}
    if isinstance(value, list | tuple):
        return [_without_nothing(item) for item in value]
    return value


def _put(holder: trace_pb2.Span | trace_pb2.Span.Event, found: Mapping[str, Any]) -> None:
    for key, value in found.items():
        holder.attributes.add(key=_text(key), value=_value(value))


def _value(value: Any) -> AnyValue:
    made = AnyValue()
    if isinstance(value, bool):
        made.bool_value = value
    elif isinstance(value, int) and -(2**63) <= value < 2**63:
        made.int_value = value
    elif isinstance(value, float):
        # A column of whole numbers with gaps is one of floats in a data frame.
        if value.is_integer() and abs(value) < 2**53:
            made.int_value = int(value)
        else:
            made.double_value = value
    elif isinstance(value, bytes):
        made.bytes_value = value
    elif isinstance(value, list | tuple):
        made.array_value.SetInParent()
        made.array_value.values.extend(_value(item) for item in value)
    else:
        made.string_value = _text(value)
    return made


def _loaded(value: Any) -> Any:
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value


def _text(value: Any) -> str:
    """A text; nothing is none, as is the NaN that a data frame has for it."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(value).encode("utf-8", "replace").decode()
