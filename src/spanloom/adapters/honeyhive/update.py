"""HoneyHive updates to patches (`spanloom.model.patch`): what a client adds to an event."""

from __future__ import annotations

from typing import Any

from spanloom.codec.struct_reader import struct_object, value_object
from spanloom.model import Json
from spanloom.model.checks import Violations
from spanloom.model.span import EVENT_OBJECTS
from spanloom.model.times import MAX_TIME_MS, OUT_OF_RANGE, ms_by_size, ns_from_ms
from spanloom.v1 import event_service_pb2, session_pb2


def read_update(request: event_service_pb2.UpdateEventRequest) -> dict[str, Json]:
    """The patch of an update. INVALID_ARGUMENT names all that is wrong."""
    bad = Violations()
    bad.check_id("event_id", request.event_id)
    if request.trace_id:
        bad.check_id("trace_id", request.trace_id)
    bad.check_text("event_name", request.event_name)
    patch = _objects(request, (*EVENT_OBJECTS, "inputs"))
    if request.HasField("outputs"):
        outputs = value_object(request.outputs)
        if outputs is not None:
            patch["outputs"] = outputs if isinstance(outputs, dict) else {"value": outputs}
    if request.HasField("error"):
        patch["error"] = request.error
    if request.event_name:
        patch["name"] = request.event_name
    if request.children_ids:
        patch["children_ids"] = list(request.children_ids)
    for field, name in (("start_time", "start_ns"), ("end_time", "end_ns")):
        if request.HasField(field):  # type: ignore[arg-type]
            ms = ms_by_size(getattr(request, field))
            if 0 <= ms <= MAX_TIME_MS:
                patch[name] = ns_from_ms(ms)
            else:
                bad.add(field, OUT_OF_RANGE)
    if request.HasField("duration"):
        if not 0 <= request.duration <= MAX_TIME_MS / 2:
            bad.add("duration", "must be a finite number of milliseconds that is not negative")
        elif (
            request.HasField("start_time")
            and not request.HasField("end_time")
            and ms_by_size(request.start_time) + request.duration > MAX_TIME_MS
        ):
            bad.add("duration", f"start_time + duration {OUT_OF_RANGE}")
        patch["duration_ms"] = request.duration
    bad.refuse()
    return patch


def read_restart(properties: session_pb2.SessionProperties) -> dict[str, Json]:
    """The patch of starting a session that is there: its metadata and user properties are
    merged."""
    return _objects(properties, ("metadata", "user_properties"))


def _objects(message: Any, names: tuple[str, ...]) -> dict[str, Json]:
    return {name: struct_object(getattr(message, name)) for name in names if message.HasField(name)}
