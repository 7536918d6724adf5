"""Patches: what updates say of an event, kept beside its span and applied to it whenever the span
is written.

A patch is one JSON object. Its keys: the objects of an event (`EVENT_OBJECTS`), merged key by key,
where null removes a key; the other values of `Io`, which are replaced; and `name`, `start_ns`,
`end_ns`, `duration_ms`, `status`, `status_message`, `error_type`, the columns of the same names.
`user` replaces the user, `cleared` are objects that are emptied before the others are merged, and
`adapter` is the only adapter to whose spans the patch is applied. `appended` are pieces that belong
to the message that was sent, by digest: [time in ns, base64]. The store appends them, and `patched`
leaves them alone. Patches are idempotent: applied
to a span that has them they change nothing. So they need no lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import inf
from typing import Any

from spanloom.model.genai import Json
from spanloom.model.span import EVENT_FIELDS, EVENT_OBJECTS, NATIVE, NO_BODY, Io, Party, Span
from spanloom.model.times import MAX_TIME_NS

Patch = Mapping[str, Json]

APPENDED = "appended"

_REPLACED = (*(name for name in EVENT_FIELDS if name not in EVENT_OBJECTS), "ideal_output")
_STATUS = ("status", "status_message", "error_type")
_UPDATED = ("name", "start_ns", "end_ns")
_NS_PER_MS = 10**6


def joined(patches: Iterable[Patch]) -> dict[str, Json]:
    """One patch that does what these do one after the other."""
    whole: dict[str, Json] = {}
    for patch in patches:
        for name in patch.get("cleared", ()):
            whole.pop(name, None)
        for name, value in patch.items():
            if name in EVENT_OBJECTS or name == APPENDED:
                value = {**whole.get(name, {}), **value}
            elif name == "cleared":
                value = sorted({*whole.get(name, ()), *value})
            whole[name] = value
    return whole


def patched(span: Span, patch: Patch) -> Span:
    """The span with the patch applied."""
    changes: dict[str, Json] = {name: patch[name] for name in _REPLACED if name in patch}
    changes.update(dict.fromkeys(patch.get("cleared", ())))
    for name in EVENT_OBJECTS:
        if name in patch:
            old = NO_BODY if name in changes else getattr(span.io, name) or NO_BODY
            changes[name] = {
                key: value
                for key, value in {**old, **patch[name]}.items()
                if not _removed(patch, name, key)
            }
    io = replace(span.io, **changes)
    end_follows = _end_follows(span, patch)
    columns: dict[str, Any] = {**_columns(span, patch, io), **_times(span, patch, end_follows)}
    columns.update({name: patch[name] for name in ("name", *_STATUS) if name in patch})
    if "user" in patch:
        user = patch["user"]
        columns["trace"] = replace(span.trace, user=None if user is None else Party(**user))
    updated = tuple(name for name in _UPDATED if name in span.updated or name in patch)
    if end_follows:
        updated += ("duration_ms",)
    start_unknown = span.start_unknown and "start_ns" not in patch
    return replace(span, **columns, io=io, updated=updated, start_unknown=start_unknown)


def _removed(patch: Patch, name: str, key: str) -> bool:
    return key in patch[name] and patch[name][key] is None


def _columns(span: Span, patch: Patch, io: Io) -> dict[str, Any]:
    """The columns that follow from what the patch says; the others may come from elsewhere, and
    stay."""
    follow: dict[str, Any] = {}
    config, metadata = patch.get("config", {}), patch.get("metadata", {})
    if span.sent.adapter == NATIVE:
        config = metadata = NO_BODY
    if "provider" in config:
        follow["provider"] = column_text(config["provider"]).lower()
    if "model" in config or "model" in metadata:
        follow["model"] = model_of(io.config or NO_BODY, io.metadata or NO_BODY)
    if "prompt_tokens" in metadata:
        follow["input_tokens"] = count_of(metadata["prompt_tokens"])
    if "completion_tokens" in metadata:
        follow["output_tokens"] = count_of(metadata["completion_tokens"])
    if "cost" in metadata:
        follow["cost"] = dollars_of(metadata["cost"])
    if "error" in patch:
        follow["status"] = "ERROR" if patch["error"] else "UNSET"
    return follow


def _has_start(span: Span, patch: Patch) -> bool:
    # A session without a start of its own begins with its events: nothing is to be reckoned from
    # its column.
    return "start_ns" in patch or not span.start_unknown


def _end_follows(span: Span, patch: Patch) -> bool:
    """Whether the end is start + the updated duration: nothing else says it. It then follows each
    later update of the two, as it does when the event is written again."""
    is_open = span.end_ns is None or "duration_ms" in span.updated
    return is_open and "duration_ms" in patch and "end_ns" not in patch and _has_start(span, patch)


def _times(span: Span, patch: Patch, end_follows: bool) -> dict[str, Any]:
    start, end = patch.get("start_ns", span.start_ns), patch.get("end_ns", span.end_ns)
    if "duration_ms" in patch:
        duration = patch["duration_ms"]
        if end_follows:
            # The start may be the event's own: the update alone did not tell that the end is out of
            # range.
            end = min(start + round(duration * _NS_PER_MS), MAX_TIME_NS)
    elif _has_start(span, patch) and span.duration_ms in (
        None,  # no start was known, or no end
        _length(span.start_ns, span.end_ns),
    ):
        duration = _length(start, end)
    else:
        duration = span.duration_ms
    return {"start_ns": start, "end_ns": end, "duration_ms": duration}


def _length(start_ns: int, end_ns: int | None) -> float | None:
    return None if end_ns is None else max(0, end_ns - start_ns) / _NS_PER_MS


# How an event's JSON makes its columns.


def model_of(config: Mapping[str, Json], metadata: Mapping[str, Json]) -> str:
    return column_text(config.get("model")) or column_text(metadata.get("model"))


def column_text(value: Json) -> str:
    """A string of the JSON that is also a column, which cannot hold NUL."""
    if not isinstance(value, str):
        return ""
    return value.replace("\0", "") if "\0" in value else value


def count_of(value: Json) -> int | None:
    return value if type(value) is int and value >= 0 else None


def dollars_of(value: Json) -> float | None:
    return float(value) if type(value) in (int, float) and 0 <= value < inf else None
