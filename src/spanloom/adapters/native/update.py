"""UpdateSpan to a patch (`spanloom.model.patch`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from spanloom.adapters.native.read import duration_ns
from spanloom.codec.struct_reader import struct_object, value_object
from spanloom.codec.timestamps import ns_from_timestamp
from spanloom.model import MAX_TIME_NS, STATUSES, Json
from spanloom.model.checks import Violations
from spanloom.model.times import OUT_OF_RANGE
from spanloom.v1 import span_pb2 as pb
from spanloom.v1 import span_service_pb2

# The fields that can be updated: JSON that is replaced, with its name in the patch; objects that
# are merged; and those that have a function below.
_VALUES: Final = {"input": "inputs", "output": "outputs", "expected_output": "ideal_output"}
_OBJECTS: Final = ("metadata", "metrics", "config", "feedback")


def read_update(request: span_service_pb2.UpdateSpanRequest, bad: Violations) -> dict[str, Json]:
    """The patch of an update. `bad` refuses it with all that is wrong, with paths in the request.

    A field that is named but not set is cleared.
    """
    span = request.span
    names = list(dict.fromkeys(request.update_mask.paths))
    for name in names:
        if name not in UPDATABLE:
            bad.add("update_mask", f'"{name[:64]}" cannot be updated')
    if not names:
        names = [field.name for field, _ in span.ListFields() if field.name in UPDATABLE]
    patch: dict[str, Json] = {}
    for name in names:
        if name in _VALUES:
            is_set = span.HasField(name)  # type: ignore[arg-type]
            patch[_VALUES[name]] = value_object(getattr(span, name)) if is_set else None
        elif name in _OBJECTS:
            _put_object(patch, name, span, name)
        elif name in _OTHERS:
            _OTHERS[name](span, patch, bad)
    _check_times(patch, bad)
    bad.refuse()
    return patch


def _put_object(patch: dict[str, Json], name: str, holder: Any, field: str) -> None:
    if holder.HasField(field):
        patch[name] = struct_object(getattr(holder, field))
    else:
        patch["cleared"] = [*patch.get("cleared", ()), name]


def _put_name(span: pb.Span, patch: dict[str, Json], bad: Violations) -> None:
    bad.check_text("span.name", span.name)
    patch["name"] = span.name or "unknown"


def _put_start(span: pb.Span, patch: dict[str, Json], bad: Violations) -> None:
    if not span.HasField("start_time"):
        bad.add("span.start_time", "cannot be cleared")
    elif (ns := ns_from_timestamp(span.start_time)) is None:
        bad.add("span.start_time", OUT_OF_RANGE)
    else:
        patch["start_ns"] = ns


def _put_end(span: pb.Span, patch: dict[str, Json], bad: Violations) -> None:
    if not span.HasField("end_time"):
        patch["end_ns"] = None
    elif (ns := ns_from_timestamp(span.end_time)) is None:
        bad.add("span.end_time", OUT_OF_RANGE)
    else:
        patch["end_ns"] = ns


def _put_duration(span: pb.Span, patch: dict[str, Json], bad: Violations) -> None:
    if not span.HasField("duration"):
        bad.add("span.duration", "cannot be cleared")
    elif (ns := duration_ns(span.duration)) is None:
        bad.add("span.duration", "must be a duration from 0 to 292 years")
    else:
        patch["duration_ms"] = ns / 1e6


def _put_status(span: pb.Span, patch: dict[str, Json], bad: Violations) -> None:
    status = span.status
    if status.code not in pb.StatusCode.values():
        bad.add("span.status.code", f"{status.code} is no StatusCode")
        return
    patch |= {
        "status": STATUSES[status.code],
        "status_message": status.message,
        "error_type": status.error_type,
        # What the events API calls the error is the status here.
        "error": None,
    }


def _put_user(span: pb.Span, patch: dict[str, Json], bad: Violations) -> None:
    user = span.user
    bad.check_text("span.user.id", user.id)
    patch["user"] = (
        {name: getattr(user, name) or None for name in ("id", "name", "email")}
        if span.HasField("user")
        else None
    )
    if not span.HasField("user") or user.HasField("properties"):
        _put_object(patch, "user_properties", user, "properties")


def _check_times(patch: dict[str, Json], bad: Violations) -> None:
    start, duration = patch.get("start_ns"), patch.get("duration_ms")
    if start is None or duration is None or "end_ns" in patch:
        return
    if start + duration * 1e6 > MAX_TIME_NS:
        bad.add("span.duration", "results in an end after the year 2262")


_OTHERS: Final[dict[str, Callable[[pb.Span, dict[str, Json], Violations], None]]] = {
    "name": _put_name,
    "start_time": _put_start,
    "end_time": _put_end,
    "duration": _put_duration,
    "status": _put_status,
    "user": _put_user,
}
UPDATABLE: Final = frozenset((*_VALUES, *_OBJECTS, *_OTHERS))
