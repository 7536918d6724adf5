"""A session's spans as a tree of events."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from spanloom.adapters.honeyhive.write import fill_event
from spanloom.codec.json_error import MAX_LEVELS
from spanloom.codec.json_fields import put_json
from spanloom.model import NO_BODY, Json, Span
from spanloom.model.own_use import dollars, used_by
from spanloom.model.parents import cycle_heads
from spanloom.model.patch import Patch, patched
from spanloom.model.times import ms_from_ns, whole_ms
from spanloom.model.whole import session_root, whole_times
from spanloom.v1 import session_pb2, session_service_pb2

ORG_ID = "spanloom"
WORKSPACE_ID = "default"
# The session is on level 1. Protobuf runtimes read 100 levels of messages, and the nodes take some
# of them.
MOST_LEVELS = 40
_READABLE_LEVELS = 98

# The session itself has the same fields as the nodes below it.
_Node = session_pb2.SessionNode | session_service_pb2.GetSessionResponse


def session_message(
    session_id: str, spans: Sequence[Span], *, project: str, patch: Patch = NO_BODY
) -> session_service_pb2.GetSessionResponse:
    """The session as the root of its events. `spans` are all of the session, by start, at least
    one. Linear in their number.

    An event whose parent is not here hangs under the session; a cycle is cut at its earliest event.
    `patch` is what updates say of the session; the store has applied it where the session has a
    span of its own.
    """
    root, events = session_root(session_id, spans)
    if root.event_id == session_id:
        root = patched(root, patch)
    children = _children(root, events)
    top = session_service_pb2.GetSessionResponse()
    waiting: deque[tuple[_Node, Span, int, int]] = deque([(top, root, -1, 1)])
    while waiting:
        node, span, index, level = waiting.popleft()
        fill_event(node, span, min(MAX_LEVELS, _READABLE_LEVELS - level))
        node.org_id = ORG_ID
        node.workspace_id = WORKSPACE_ID
        node.project_id = project
        for child in children.get(index, ()):
            waiting.append((node.children.add(), events[child], child, level + 1))
    _sum_up(top, root, events)
    return top


def _children(root: Span, events: Sequence[Span]) -> dict[int, list[int]]:
    """The events below each node, in order, by index in `events`; -1 is the session itself.

    A parent is a span of the same trace, else any event of that id. Below the deepest level events
    hang flat under their ancestor on that level.
    """
    by_span = {(span.trace_id, span.span_id): index for index, span in enumerate(events)}
    by_event = {span.event_id: index for index, span in reversed(list(enumerate(events)))}
    parents = []
    for span in events:
        parent = by_span.get((span.trace_id, span.parent_id))
        if parent is None and span.parent_id not in (root.span_id, root.event_id):
            parent = by_event.get(span.parent_id)
        parents.append(parent)
    for index in cycle_heads(parents, lambda i: i):
        parents[index] = None
    below: dict[int, list[int]] = {}
    for index, parent in enumerate(parents):
        below.setdefault(-1 if parent is None else parent, []).append(index)
    shown_under = [-1] * len(events)
    waiting = deque([(-1, 1)])
    while waiting:
        parent, level = waiting.popleft()
        for index in below.get(parent, ()):
            too_deep = level > MOST_LEVELS
            shown_under[index] = shown_under[parent] if too_deep else parent
            waiting.append((index, level if too_deep else level + 1))
    children: dict[int, list[int]] = {}
    for index, parent in enumerate(shown_under):
        children.setdefault(parent, []).append(index)
    return children


def _sum_up(top: _Node, root: Span, others: Sequence[Span]) -> None:
    """Fill in the totals of the session's events. Times that the client gave for the session are
    kept; totals that it gave in the metadata are replaced."""
    start, end = whole_times(root, others)
    start = whole_ms(start) if root.start_unknown else start
    end = whole_ms(end) if end is not None and root.end_ns is None else end
    top.start_time = ms_from_ns(start)
    if end is not None:
        top.end_time = ms_from_ns(end)
        if root.duration_ms is None:
            top.duration = ms_from_ns(max(0, end - start))
    events = [span for span in others if span.kind != "session"]
    used = used_by(events)
    totals: dict[str, Json] = {
        "num_events": len(events),
        "num_model_events": used.model_calls,
        "has_feedback": any(span.io.feedback for span in (root, *events)),
        "prompt_tokens": used.input_tokens,
        "completion_tokens": used.output_tokens,
        "total_tokens": used.input_tokens + used.output_tokens,
    }
    if used.cost is not None:
        totals["cost"] = dollars(used.cost)
    put_json(top, {"metadata": totals})
