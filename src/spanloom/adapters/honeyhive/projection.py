"""Events with some of their fields only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from spanloom.codec.json_fields import put_json
from spanloom.codec.struct_reader import struct_object, value_object
from spanloom.v1 import event_pb2

_ALWAYS = ("event_id", "event_type")

# A field's name with what is wanted of it: {} for all, else names inside it.
Wanted = dict[str, Any]


def wanted(projections: Iterable[str]) -> Wanted:
    """What dotted paths ask for, as a tree; {} when they ask for nothing."""
    tree: Wanted = {}
    for path in projections:
        node, steps = tree, path.split(".")
        for step in steps[:-1]:
            if step in node and not node[step]:
                break  # all of it is wanted already
            node = node.setdefault(step, {})
        else:
            node[steps[-1]] = {}
    return tree


def project(event: event_pb2.Event, tree: Wanted) -> event_pb2.Event:
    """The event with what is wanted of it, in place; all of it for {}."""
    if not tree:
        return event
    for field, value in event.ListFields():
        name = field.name
        if name in _ALWAYS:
            continue
        inside = tree.get(name)
        if inside and field.message_type is not None:
            read = struct_object if field.message_type.name == "Struct" else value_object
            kept = _kept(read(value), inside)
            event.ClearField(field.name)  # type: ignore[arg-type]
            put_json(event, {name: kept})
        elif inside is None:
            event.ClearField(field.name)  # type: ignore[arg-type]
    return event


def _kept(value: Any, tree: Wanted) -> Any:
    if not tree:
        return value
    if isinstance(value, list):
        return [_kept(item, tree[str(n)]) for n, item in enumerate(value) if str(n) in tree]
    if not isinstance(value, dict):
        return value
    return {name: _kept(item, tree[name]) for name, item in value.items() if name in tree}
