"""Messages of protobuf without what rules redact, changed in place.

One walk serves every request: it knows maps, the messages of JSON values, and OpenTelemetry's
lists of pairs. Ids of rows and the contents of media stay.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from spanloom.redaction.credentials import is_credential, may_have_credentials
from spanloom.redaction.documents import (
    NAMED_BY,
    Trail,
    is_id,
    is_schema,
    redacted_number,
    redacted_text,
)
from spanloom.redaction.rules import MARK, Compiled

Members = Sequence[tuple[str, Any]]


def _struct_members(value: Any) -> Members | None:
    fields = value.struct_value.fields if value.HasField("struct_value") else None
    return None if fields is None else _pairs_of(fields)


def _map_members(value: Any) -> Members | None:
    fields = value.map_value.fields if value.HasField("map_value") else None
    return None if fields is None else _pairs_of(fields)


def _list_members(value: Any) -> Members | None:
    if not value.HasField("kvlist_value"):
        return None
    return [(pair.key, pair.value) for pair in value.kvlist_value.values]


def _pairs_of(fields: Any) -> Members:
    return [(key, fields[key]) for key in fields]


# Messages that are a value of any type, by what gives the members of one that is an object.
_VALUES: Final[Mapping[str, Callable[[Any], Members | None]]] = {
    "google.protobuf.Value": _struct_members,
    "spanloom.v1.AttributeValue": _map_members,
    "opentelemetry.proto.common.v1.AnyValue": _list_members,
}
_PAIR: Final = "opentelemetry.proto.common.v1.KeyValue"
_NUMBERS: Final = ("number_value", "int_value", "double_value")
# From these the paths of rules begin.
_ROOTS: Final = frozenset(
    (
        *("opentelemetry.proto.trace.v1.Span", "opentelemetry.proto.logs.v1.LogRecord"),
        *(f"spanloom.v1.{name}" for name in ("Span", "Trace", "Log", "Event", "ModelEvent")),
        *("spanloom.v1.SessionProperties", "opentelemetry.proto.resource.v1.Resource"),
    )
)
# Of these there are many: their bytes say whether to look into one.
_LOOKED_AT: Final = _ROOTS | {_PAIR}
# Nothing in them is content.
_SKIPPED: Final = frozenset(
    f"google.protobuf.{name}" for name in ("Timestamp", "Duration", "FieldMask")
)
_OF_A_USER: Final = "User"
_F = FieldDescriptor


def redact_message(rules: Compiled, message: Message, trail: Trail = ()) -> None:
    """Redact what a message holds."""
    descriptor = message.DESCRIPTOR
    name = descriptor.full_name
    if name == _PAIR:
        _redact_member(rules, message.key, message.value, trail)  # type: ignore[attr-defined]
        return
    if name in _VALUES:
        _redact_value(rules, message, trail)
        return
    if name in _ROOTS:
        trail = ()
    for field in _content(descriptor):
        _redact_field(rules, message, field, trail)


@cache
def _content(descriptor: Descriptor) -> tuple[FieldDescriptor, ...]:
    """The fields that may hold content."""
    of_a_user = descriptor.name == _OF_A_USER
    return tuple(
        field
        for field in descriptor.fields
        if (
            field.message_type.full_name not in _SKIPPED
            if field.message_type is not None
            else field.type == _F.TYPE_STRING and (of_a_user or not is_id(field.name))
        )
    )


def _redact_field(rules: Compiled, message: Any, field: FieldDescriptor, trail: Trail) -> None:
    name = field.name
    inner = field.message_type
    if inner is None:
        if field.is_repeated:
            _redact_texts(rules, getattr(message, name), (*trail, name))
        elif text := getattr(message, name):
            _put(message, name, text, _text(rules, text, (*trail, name)))
    elif inner.GetOptions().map_entry:
        _redact_map(rules, getattr(message, name), inner, _below(trail, inner, name))
    elif field.is_repeated:
        below = _below(trail, inner, name)
        is_looked_at = not rules.has_rules and inner.full_name in _LOOKED_AT
        for item in getattr(message, name):
            if not is_looked_at or may_have_credentials(item.SerializeToString()):
                redact_message(rules, item, below)
    elif message.HasField(name):
        redact_message(rules, getattr(message, name), _below(trail, inner, name))


def _below(trail: Trail, inner: Descriptor, name: str) -> Trail:
    """The trail to what is in a field. The fields of messages that only hold others have no
    name in it."""
    if name == _CHILDREN:
        return ()
    return trail if name in _HOLDING and inner.full_name != _STRUCT else (*trail, name)


_HOLDING: Final = frozenset(("fields", "values"))
_STRUCT: Final = "google.protobuf.Struct"
# Events inside of an event are events themselves.
_CHILDREN: Final = "children"


def _redact_map(rules: Compiled, members: Any, entry: Descriptor, trail: Trail) -> None:
    value = entry.fields_by_name["value"]
    if value.message_type is not None:
        _redact_members(rules, _pairs_of(members), trail)
    elif value.type == _F.TYPE_STRING:
        for key in list(members):
            text = members[key]
            new = MARK if _is_secret(rules, key, text) else _text(rules, text, (*trail, key))
            if new != text:
                members[key] = new


def _redact_members(rules: Compiled, members: Members, trail: Trail) -> None:
    """Redact the values of an object."""
    is_named = rules.credentials and any(
        key in NAMED_BY and is_credential(value.string_value) for key, value in members
    )
    for key, value in members:
        if is_named and key == "value" and _is_value(value):
            _mark(value)
        else:
            _redact_member(rules, key, value, trail)


def _redact_member(rules: Compiled, key: str, value: Any, trail: Trail) -> None:
    trail = (*trail, key)
    is_secret = rules.credentials and is_credential(key) and _is_value(value)
    if is_secret or (rules.paths and rules.is_path(trail) and value.ListFields()):
        _mark(value)
    else:
        _redact_value(rules, value, trail)


def _redact_value(rules: Compiled, value: Any, trail: Trail) -> None:
    """Redact what a value of any type holds."""
    for field, content in value.ListFields():
        name = field.name
        if name == "string_value":
            _put(value, name, content, redacted_text(rules, content, trail))
        elif name in _NUMBERS:
            new = redacted_number(rules, content)
            if isinstance(new, str):
                value.string_value = new
        elif name == "bytes_value":
            _redact_bytes(rules, value, trail)
        elif (members := _VALUES[value.DESCRIPTOR.full_name](value)) is not None:
            _redact_members(rules, members, trail)
        elif field.message_type is not None:  # a list
            _redact_elements(rules, content.values, trail)


def _redact_elements(rules: Compiled, elements: Any, trail: Trail) -> None:
    pairs = [_pair(element) for element in elements]
    is_pairs = rules.credentials and all(pairs)
    for element, pair in zip(elements, pairs, strict=True):
        if is_pairs and is_credential(pair[0].string_value) and _is_value(pair[1]):
            _mark(pair[1])
        else:
            _redact_value(rules, element, trail)


def _pair(value: Any) -> Any:
    """The elements of a list of a text and something."""
    for name in ("list_value", "array_value"):
        if name in value.DESCRIPTOR.fields_by_name and value.HasField(name):
            inside = getattr(value, name).values
            if len(inside) == 2 and inside[0].HasField("string_value"):
                return inside
    return None


def _redact_bytes(rules: Compiled, value: Any, trail: Trail) -> None:
    """Redact bytes that are a text; others are media, and stay."""
    try:
        text = value.bytes_value.decode()
    except UnicodeDecodeError:
        return
    new = redacted_text(rules, text, trail)
    if new != text:
        value.bytes_value = new.encode()


def _redact_texts(rules: Compiled, texts: Any, trail: Trail) -> None:
    for at, text in enumerate(texts):
        new = _text(rules, text, trail)
        if new != text:
            texts[at] = new


def _text(rules: Compiled, text: str, trail: Trail) -> str:
    if rules.paths and text and rules.is_path(trail):
        return MARK
    return redacted_text(rules, text, trail)


def _put(message: Any, name: str, text: str, new: str) -> None:
    if new != text:
        setattr(message, name, new)


def _is_secret(rules: Compiled, key: str, text: str) -> bool:
    return rules.credentials and is_credential(key) and bool(text) and not _is_marked(text)


def _is_marked(text: str) -> bool:
    return text.startswith(MARK[:-1])


def _is_value(value: Any) -> bool:
    """As `documents.is_value`, of a message that is a value of any type."""
    fields = value.ListFields()
    if not fields:
        return False
    [(field, content)] = fields[:1]
    if field.name in ("null_value", "bool_value"):
        return False
    if isinstance(content, str):
        return bool(content) and not _is_marked(content)
    if field.message_type is None:
        return True
    members = _VALUES[value.DESCRIPTOR.full_name](value)
    if members is None:  # a list
        return bool(content.values)
    return bool(members) and not is_schema(_types(members))


def _types(members: Members) -> dict[str, str]:
    """The members of an object with their texts."""
    return {key: value.string_value for key, value in members}


def _mark(value: Any) -> None:
    value.string_value = MARK
