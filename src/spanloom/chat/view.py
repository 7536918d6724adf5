"""The chat view of one trace: its spans as one linear trajectory (contract agent_chat, section 1.2)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from spanloom.chat.executions import completed
from spanloom.chat.facts import Facts, count, derive
from spanloom.chat.json_text import json_object
from spanloom.chat.payloads import duration_ms
from spanloom.chat.repeats import calls_once, counted_usages, repeats_inside
from spanloom.chat.subagents import agents_inside_tools
from spanloom.chat.tools import after_their_requests
from spanloom.chat.tree import root_of, span_tree
from spanloom.chat.walk import messages_of
from spanloom.codec.gradual_release import release_gradually
from spanloom.model.turn import TurnChat

if TYPE_CHECKING:
    from spanloom.model import Span


def trace_chat(
    trace_id: str, spans: Sequence[Span], *, include_model_tool_calls: bool = False
) -> TurnChat:
    """The turn that the spans of one trace tell; their order does not matter. Of spans with one id the last counts.

    `include_model_tool_calls` also shows the tool calls that only models' messages tell of, with their results, and puts
    each tool span behind the model call that asked for it. No data makes it raise. Linear in the size of the spans, but
    for sorting them.
    """
    unique = list({span.span_id: span for span in spans}.values())
    if not unique:
        return TurnChat(trace_id=trace_id)
    facts: Mapping[str, Facts] = derive(unique)
    tree = repeats_inside(span_tree(unique), facts)
    facts = completed(calls_once(tree, facts))
    tree = agents_inside_tools(tree, facts)
    if include_model_tool_calls:
        tree = after_their_requests(tree, facts)
    root = root_of(unique)
    started_ns, ended_ns, total_ms = _times(root, unique)
    usages = list(counted_usages(tree, facts))
    costs = [usage.total_cost for usage in usages if usage.total_cost is not None]
    of_root = facts[root.span_id]
    turn = TurnChat(
        trace_id=trace_id,
        root_span_name=root.agent_name or root.name or None,
        agent_name=root.agent_name or None,
        agent_version=of_root.agent_version or None,
        status_code=of_root.status,
        provider=root.provider.lower() or None,
        started_ns=started_ns,
        ended_ns=ended_ns,
        user_id=_user_id(root),
        total_duration_ms=total_ms,
        total_cost_usd=math.fsum(costs) if costs else None,
        total_input_tokens=sum(usage.input_tokens or 0 for usage in usages),
        total_output_tokens=sum(usage.output_tokens or 0 for usage in usages),
        total_reasoning_tokens=sum(usage.reasoning_tokens or 0 for usage in usages),
        total_cache_creation_input_tokens=_total(unique, "cache_creation_tokens"),
        total_cache_read_input_tokens=_total(unique, "cache_read_tokens"),
        messages=tuple(messages_of(facts, tree, model_calls=include_model_tool_calls)),
    )
    release_gradually(facts)
    return turn


def _times(root: Span, spans: Sequence[Span]) -> tuple[int, int, int]:
    """Start, end (0 while open) and whole milliseconds of the root; a session takes those not said from its events."""
    start, end = root.start_ns, root.end_ns
    if root.kind == "session" and not root.operation:
        unset = root.body.get("unset")
        if not start or (isinstance(unset, list) and "start_time" in unset):
            start = min((span.start_ns for span in spans if span.start_ns), default=0)
        if end is None:
            end = max((span.end_ns for span in spans if span.end_ns is not None), default=None)
            if end is not None and root.duration_ms is None:
                return start, end, max(0, (end - start) // 1_000_000)
    return start, end or 0, duration_ms(root)


def _total(spans: Sequence[Span], key: str) -> int:
    return sum(count(span.body[key]) or 0 for span in spans if key in span.body)


def _user_id(root: Span) -> str | None:
    """Who the turn was for: the trace's user, else the user that the event's properties name."""
    properties = json_object(root.body.get("user_properties"))
    ids = (
        json_object(root.body.get("user")).get("id"),
        *(properties.get(key) for key in ("user_id", "user", "id")),
    )
    return next((user_id for user_id in ids if user_id and isinstance(user_id, str)), None)
