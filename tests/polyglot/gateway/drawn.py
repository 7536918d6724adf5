"""Random requests, made from the descriptors of the methods, that every transcoder can read.

What transcoders read otherwise (tests/polyglot/gateway/exceptions.py) is not drawn: unknown names,
values given twice, loose types, and escapes of letters.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Final
from urllib.parse import quote

from google.api import annotations_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import MethodOptions

from tests.polyglot.gateway.cases import ASKED, JSON, SLASH, Case, Request

# Ids and texts: such as are stored by the setup, and such as are read otherwise by mistake.
_TEXTS: Final = (
    *("{id}", "c-{id}", "1", "2", "s", "ask", "m", "a b", "a+b", "100%", "é", "日本", "a&b=c", "#"),
    *("?", "a:b", "~", "'", '"', "\\", "true", "null", "1.5", "😀", "a.b", "*", "."),
)
_TIMES: Final = (
    *("2026-05-01T12:00:00Z", "2026-05-01T12:00:00.123Z", "2026-05-01T14:00:00+02:00"),
    *("0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z", "1969-12-31T23:59:59.5Z"),
)
_DURATIONS: Final = ("0s", "1s", "1.5s", "0.000000001s", "-1s", "86400s")
_DOUBLES: Final = (0, 1, -1, 0.5, -2.25, 1e300, 1e-300, 12345678.9)
_FIELD: Final = FieldDescriptor
_SIGNED_32: Final = (_FIELD.TYPE_INT32, _FIELD.TYPE_SINT32, _FIELD.TYPE_SFIXED32)
_SIGNED_64: Final = (_FIELD.TYPE_INT64, _FIELD.TYPE_SINT64, _FIELD.TYPE_SFIXED64)
_UNSIGNED_64: Final = (_FIELD.TYPE_UINT64, _FIELD.TYPE_FIXED64)
_DEEPEST: Final = 3

_KNOWN: Final[dict[str, Callable[[Random], Any]]] = {
    "google.protobuf.Timestamp": lambda dice: dice.choice(_TIMES),
    "google.protobuf.Duration": lambda dice: dice.choice(_DURATIONS),
    "google.protobuf.FieldMask": lambda dice: dice.choice(("name", "status", "name,output", "")),
    "google.protobuf.Struct": lambda dice: {dice.choice(_TEXTS): _json(dice, 2)},
    "google.protobuf.Value": lambda dice: _json(dice, 2),
    "google.protobuf.ListValue": lambda dice: [_json(dice, 2)],
}


def cases(methods: list[MethodDescriptor], seed: int) -> Iterator[Case]:
    """Requests without end, each of a random method."""
    dice = Random(seed)
    for number in range(1 << 31):
        method = dice.choice(methods)
        yield Case(f"{seed}/{number} {method.name}", _request(dice, method), (ASKED, SLASH))


def _request(dice: Random, method: MethodDescriptor) -> Request:
    options = MethodOptions.FromString(method.GetOptions().SerializeToString())
    rule = options.Extensions[annotations_pb2.http]
    verb = rule.WhichOneof("pattern")
    template = getattr(rule, verb)
    kind = method.input_type
    in_path: set[str] = set()
    path = ""
    for place, part in enumerate(template.split("{")):
        if not place:
            path += part
            continue
        variable, rest = part.split("}", 1)
        name = variable.split("=")[0]
        in_path.add(name)
        path += quote(dice.choice(_TEXTS), safe="{}~.-_") + rest
    if rule.body == "*":
        body = _message(dice, kind, 0, without=in_path)
        return Request(verb.upper(), path, json.dumps(body), JSON)
    without = in_path | ({rule.body} if rule.body else set())
    query = "&".join(_query(dice, kind, "", without, 0))
    path += f"?{query}" if query else ""
    if not rule.body:
        return Request(verb.upper(), path, None, {})
    of_body: Any = kind.fields_by_name[rule.body].message_type
    inner = {name.removeprefix(f"{rule.body}.") for name in in_path}
    return Request(verb.upper(), path, json.dumps(_message(dice, of_body, 0, without=inner)), JSON)


def _name(dice: Random, field: FieldDescriptor) -> str:
    name: str = dice.choice((field.json_name, field.name))
    return name


def _message(dice: Random, kind: Descriptor, depth: int, *, without: set[str]) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    taken: set[str] = set()
    for field in kind.fields:
        oneof = field.containing_oneof
        if field.name in without or (oneof and oneof.name in taken):
            continue
        if dice.random() > (0.5, 0.35, 0.2, 0.1)[depth]:
            continue
        if oneof:
            taken.add(oneof.name)
        fields[_name(dice, field)] = _value(dice, field, depth)
    return fields


def _value(dice: Random, field: FieldDescriptor, depth: int) -> Any:
    if field.message_type and field.message_type.GetOptions().map_entry:
        value = field.message_type.fields_by_name["value"]
        return {text: _single(dice, value, depth) for text in dice.sample(_TEXTS, 2)}
    if field.is_repeated:
        return [_single(dice, field, depth) for _ in range(dice.randrange(3))]
    return _single(dice, field, depth)


def _single(dice: Random, field: FieldDescriptor, depth: int) -> Any:
    if field.message_type is None:
        return _scalar(dice, field)
    known = _KNOWN.get(field.message_type.full_name)
    if known is not None:
        return known(dice)
    if depth == _DEEPEST:
        return {}
    return _message(dice, field.message_type, depth + 1, without=set())


def _scalar(dice: Random, field: FieldDescriptor) -> Any:
    kind = field.type
    if kind == _FIELD.TYPE_STRING:
        return dice.choice(_TEXTS)
    if kind == _FIELD.TYPE_BOOL:
        return dice.random() < 0.5
    if kind == _FIELD.TYPE_BYTES:
        return dice.choice(("", "AA==", "/+8="))
    if kind in (_FIELD.TYPE_DOUBLE, _FIELD.TYPE_FLOAT):
        return dice.choice(_DOUBLES[:5] if kind == _FIELD.TYPE_FLOAT else _DOUBLES)
    if kind == _FIELD.TYPE_ENUM:
        enum: Any = field.enum_type
        value = dice.choice(enum.values)
        return dice.choice((value.name, value.number))
    if kind in _SIGNED_64:
        number = dice.choice((0, 1, 7, -1, 2**53 + 1, 2**63 - 1, -(2**63)))
        return dice.choice((number, str(number))) if abs(number) < 2**53 else str(number)
    if kind in _UNSIGNED_64:
        return str(dice.choice((0, 1, 2**64 - 1)))
    return dice.choice((0, 1, 2, 100, 2**31 - 1, *((-1,) if kind in _SIGNED_32 else ())))


def _query(
    dice: Random, kind: Descriptor, before: str, without: set[str], depth: int
) -> Iterator[str]:
    """Pairs of a URL's query, of which none is a map, or a list of messages."""
    for field in kind.fields:
        if field.name in without or dice.random() > 0.3:
            continue
        name = before + _name(dice, field)
        message = field.message_type
        if message is None or message.full_name in (
            *("google.protobuf.Timestamp", "google.protobuf.Duration", "google.protobuf.FieldMask"),
        ):
            for _ in range(dice.randrange(1, 3) if field.is_repeated else 1):
                value = _single(dice, field, depth)
                text = json.dumps(value) if isinstance(value, bool | float) else str(value)
                yield f"{name}={quote(text, safe='{}')}"
        elif not field.is_repeated and message.full_name not in _KNOWN and depth < _DEEPEST:
            yield from _query(dice, message, f"{name}.", set(), depth + 1)


def _json(dice: Random, depth: int) -> Any:
    kind = dice.randrange(7 if depth else 5)
    if kind == 0:
        return None
    if kind == 1:
        return dice.random() < 0.5
    if kind == 2:
        return dice.choice(_DOUBLES)
    if kind < 5:
        return dice.choice(_TEXTS)
    if kind == 5:
        return [_json(dice, depth - 1) for _ in range(dice.randrange(3))]
    return {dice.choice(_TEXTS): _json(dice, depth - 1)}
