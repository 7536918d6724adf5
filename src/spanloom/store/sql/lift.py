"""Bodies of earlier versions, whose keys all stood at the top whatever adapter wrote them, in the
layout of `bodies`.

Nothing but this module knows the old keys. A row is lifted when it is read, and written in the new
layout when it is written again. The old layout has no name of the adapter: it follows from the
keys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from spanloom.model import Json
from spanloom.model.span import EVENT_OBJECTS
from spanloom.store.sql.bodies import IO_FIELDS

_OTLP: Final = frozenset(
    {
        *("attributes", "events", "links", "resource", "scope", "status", "span_kind"),
        *("trace_state", "flags", "dropped"),
    }
)
_OTLP_MAY: Final = frozenset({"unset", "parent_id_sent", "span_name"})
_GENAI_KEPT: Final = (
    *("input_messages", "output_messages", "system_instructions", "reasoning", "tool"),
    *("tool_definitions", "agent", "response_model", "content_refs", "compaction", "handoff"),
    *("relayed", "prompt", "variables"),
)
_SINGLES_KEPT: Final = ("status_message", "error_type", "log_type")
_TRACE_KEPT: Final = ("feature_slug", "user", "organization", "sample_rate", "sampled")
_USAGE_KEPT: Final = ("reasoning_tokens", "cache_read_tokens", "cache_creation_tokens")
_COSTS: Final = {"input": "input_cost", "output": "output_cost", "source": "cost_source"}
_TRACE_ID: Final = re.compile("[0-9a-f]{32}")
_SPAN_ID: Final = re.compile("[0-9a-f]{16}")
_CONVERSATION_NAME: Final = "gen_ai.conversation.name"
# Where instrumentations write the two agents of a span that hands over.
_FROM_AGENT: Final = ("from_agent", "gen_ai.handoff.from_agent", "handoff.from_agent")
_TO_AGENT: Final = ("to_agent", "gen_ai.handoff.to_agent", "handoff.to_agent")


def lifted(
    body: Mapping[str, Json], trace_id: str, span_id: str, operation: str
) -> dict[str, Json]:
    """The body in the layout of `bodies`."""
    new: dict[str, Json] = {
        name: body[name] for name in (*IO_FIELDS, *_SINGLES_KEPT) if body.get(name) is not None
    }
    for name in EVENT_OBJECTS:
        if not isinstance(new.get(name, {}), dict):
            del new[name]
    adapter = _adapter(body, trace_id, span_id)
    genai = _genai(body)
    if trace := _trace(body):
        new["trace"] = trace
    if adapter == "otlp":
        new["sent"] = {"adapter": adapter, **_otlp_sent(body)}
        _put_told(new, genai, body, operation)
    elif adapter == "basalt":
        new["sent"] = {"adapter": adapter, **_basalt_sent(body)}
    else:
        new["sent"] = {"adapter": adapter}
    if genai:
        new["genai"] = genai
    if adapter != "basalt" and "start_time" in body.get("unset", ()):
        new["start_unknown"] = True
    return new


def _adapter(body: Mapping[str, Json], trace_id: str, span_id: str) -> str:
    if not _OTLP.isdisjoint(body):
        return "otlp"
    if "log_type" in body or "sample_rate" in body:
        return "basalt"
    if "source" in body:
        return "honeyhive"
    fits = _TRACE_ID.fullmatch(trace_id) and _SPAN_ID.fullmatch(span_id)
    return "otlp" if fits and body.keys() <= _OTLP_MAY else ""


def _genai(body: Mapping[str, Json]) -> dict[str, Json]:
    genai = {name: body[name] for name in _GENAI_KEPT if name in body}
    costs = body.get("cost_details", {})
    usage = {name: body[name] for name in _USAGE_KEPT if name in body} | {
        name: costs[old] for old, name in _COSTS.items() if old in costs
    }
    if usage:
        genai["usage"] = usage
    return genai


def _trace(body: Mapping[str, Json]) -> dict[str, Json]:
    trace = {name: body[name] for name in _TRACE_KEPT if name in body}
    if "experiment" in body:
        trace["experiment_id"] = body["experiment"].get("id", "")
    if "evaluators" in body:
        trace["evaluators"] = [evaluator["slug"] for evaluator in body["evaluators"]]
    if "sample_rate" in body.get("evaluation_config", {}):
        trace["evaluation_rate"] = body["evaluation_config"]["sample_rate"]
    return trace


def _otlp_sent(body: Mapping[str, Json]) -> dict[str, Json]:
    sent = {name: value for name, value in body.items() if name in _OTLP}
    for old, name in (("span_name", "name"), ("parent_id_sent", "parent_id")):
        if old in body:
            sent[name] = body[old]
    return sent


def _basalt_sent(body: Mapping[str, Json]) -> dict[str, Json]:
    sent = {name: body[name] for name in ("parent_id", "chain_slug") if name in body}
    if unset := [*body.get("unset", ()), *body.get("computed", ())]:
        sent["unset"] = unset
    if "end_ns_sent" in body:
        sent["end_ns"] = body["end_ns_sent"]
    if body.get("evaluation_config") == {}:
        sent["evaluation_config"] = {}
    return sent


def _put_told(
    new: dict[str, Json], genai: dict[str, Json], body: Mapping[str, Json], operation: str
) -> None:
    """What readers took from an OTLP span's own attributes and scope."""
    if scope := body.get("scope", {}).get("name"):
        new["instrumentation"] = scope
    attributes = body.get("attributes")
    if not isinstance(attributes, dict):  # a list, where a key is there twice
        return
    name = attributes.get(_CONVERSATION_NAME)
    if isinstance(name, str) and name:
        new["conversation_name"] = name
    if operation.lower() == "handoff":
        told = {
            agent: found
            for agent, keys in (("from_agent", _FROM_AGENT), ("to_agent", _TO_AGENT))
            if (found := next(filter(_is_text, map(attributes.get, keys)), None))
        }
        if told:
            genai["handoff"] = told | genai.get("handoff", {})


def _is_text(value: Json) -> bool:
    return isinstance(value, str) and value != ""
