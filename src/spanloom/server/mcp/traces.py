"""The tools `find_traces` and `read_trace`."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from google.protobuf.duration_pb2 import Duration

from spanloom.server.mcp.answer import Answer, code, line
from spanloom.server.mcp.arguments import Argument
from spanloom.server.mcp.calls import Calls
from spanloom.v1 import query_pb2, query_service_pb2, span_pb2

_ORDERS: Final[Mapping[str, Any]] = {
    name.removeprefix("TRACE_ORDER_").lower(): number
    for name, number in query_pb2.TraceOrder.items()
    if number
}
FIND: Final = (
    Argument("text", "string", "Only traces that contain this text, in any of their strings."),
    Argument("since", "time", "Only from this time on: 24h, 7d (before now), or ISO 8601."),
    Argument("until", "time", "Only before this time."),
    Argument("has_error", "boolean", "Only traces in which a span failed, or none did."),
    Argument("running", "boolean", "Only traces that have not ended, or that have."),
    Argument("name", "string", "Only with exactly this name."),
    Argument("conversation_id", "string", "Only of this conversation (session)."),
    Argument("user_id", "string", "Only of this user."),
    Argument("agent_name", "string", "Only with this agent."),
    Argument("model", "string", "Only with a call of this model."),
    Argument("feature", "string", "Only of this feature of the application."),
    Argument("environment", "string", "Only of this deployment."),
    Argument("attributes", "strings", "Conditions such as `app.tier=gold`; all must hold."),
    Argument("min_cost_usd", "number", "Only above this cost.", least=0),
    Argument("min_seconds", "number", "Only what took at least so long.", least=0, most=10**9),
    Argument("order", "string", "By what traces are ordered.", words=tuple(_ORDERS)),
    Argument("limit", "integer", "At most so many. Default: 20.", least=1, most=100),
    Argument("cursor", "string", "The cursor of the previous answer, to read on."),
)
# The arguments that are fields of TraceFilter, by the field.
_FIELDS: Final = {
    "since": "start_time_from",
    "until": "start_time_before",
    **{
        name: name
        for name in (
            *("text", "has_error", "running", "name", "conversation_id", "user_id", "agent_name"),
            *("model", "feature", "environment", "attributes", "min_cost_usd"),
        )
    },
}

_KINDS: Final[Mapping[int, str]] = {
    number: name.removeprefix("SPAN_KIND_").lower()
    for name, number in span_pb2.SpanKind.items()
    if number
}
_ONLY: Final = {
    "errors": lambda spans, row: spans.is_error(row),
    "models": lambda spans, row: spans.kinds[row] == span_pb2.SPAN_KIND_MODEL,
    "tools": lambda spans, row: spans.kinds[row] == span_pb2.SPAN_KIND_TOOL,
}
READ: Final = (
    Argument("trace_id", "string", "The trace.", required=True),
    Argument("only", "string", "Only such spans, and those above them.", words=tuple(_ONLY)),
    Argument("from_line", "integer", "The first line of the tree, to read on.", least=1),
)
# Spans of a trace that are read; what is beyond them the answer says.
_MOST_SPANS: Final = 50_000
_MOST_ERRORS: Final = 20
# As many equal leaves beside one another become two and a number.
_FEWEST_FOLDED: Final = 5


async def find_traces(calls: Calls, given: Mapping[str, Any]) -> str:
    """A line for each trace, and the beginnings of what went in and out."""
    chosen = {field: given[name] for name, field in _FIELDS.items() if name in given}
    if "min_seconds" in given:
        made = Duration()
        made.FromMicroseconds(int(given["min_seconds"] * 1e6))
        chosen["min_duration"] = made
    limit = given.get("limit", 20)
    request = query_service_pb2.ListTraceSummariesRequest(
        page_size=limit,
        page_token=given.get("cursor", ""),
        filter=query_pb2.TraceFilter(**chosen),
        order=_ORDERS[given.get("order", "start_time")],
    )
    page = await calls.one("QueryService/ListTraceSummaries", request)
    answer = Answer()
    left_out = 0
    for trace in page.trace_summaries:
        left_out += left_out > 0 or not answer.add(_summary(trace))
    found = len(page.trace_summaries)
    more = ""
    if left_out:
        more = f"{left_out} of {found} traces did not fit: ask for `limit` {found - left_out}."
    elif page.next_page_token:
        more = f"There are more: call again with `cursor` {code(page.next_page_token)}."
    elif not found:
        more = "No trace meets the conditions."
    read = "Read one with `read_trace`, or its conversation with `read_chat`." if found else ""
    return answer.end(more, read, calls.link("traces"))


def _summary(trace: Any) -> str:
    facts = [code(trace.trace_id), _time(trace.start_time), _state(trace)]
    if trace.HasField("duration"):
        facts.append(_seconds(trace.duration.ToNanoseconds() / 1e9))
    facts += [line(trace.name, 100), *_figures(trace.figures)]
    for noun, names in (("agents", trace.agent_names), ("models", trace.models)):
        if names:
            facts.append(f"{noun} {line(', '.join(names), 80)}")
    if trace.user.id:
        facts.append(f"user {line(trace.user.id, 60)}")
    if trace.conversation_id != trace.trace_id:
        facts.append(f"conversation {code(trace.conversation_id)}")
    lines = [f"- {' · '.join(filter(None, facts))}"]
    for noun, text in (("in", trace.input_preview), ("out", trace.output_preview)):
        if text:
            lines.append(f"  - {noun}: {code(line(text))}")
    return "\n".join(lines)


async def read_trace(calls: Calls, given: Mapping[str, Any]) -> str:
    """The figures of a trace, the spans that failed, and the tree of all spans with their ids."""
    trace_id = given["trace_id"]
    got = await calls.one(
        "QueryService/GetTraceSummary",
        query_service_pb2.GetTraceSummaryRequest(trace_id=trace_id),
    )
    spans, total = await _outline(calls, trace_id)
    answer = Answer()
    answer.add(_summary(got.trace_summary))
    if failed := [row for row in range(len(spans.ids)) if spans.is_error(row)]:
        answer.add(f"\n{len(failed)} failed:")
        for row in failed[:_MOST_ERRORS]:
            answer.add(spans.told(row))
    answer.add("\nSpans, in the order of their starts:")
    first = given.get("from_line", 1)
    lines = list(_tree(spans, _ONLY.get(given.get("only", ""))))
    after = first
    while after <= len(lines) and answer.add(lines[after - 1]):
        after += 1
    rest = ""
    if after <= len(lines):
        rest = f"Lines {first} to {after - 1} of {len(lines)}; read on with `from_line` {after}."
    elif not lines:
        rest = "No span is of this kind."
    read = len(spans.ids)
    cut = f"Only the first {read} of {total} spans were read." if read < total else ""
    how = "Read one with `read_span`, and what was said with `read_chat`."
    return answer.end(rest, cut, how, calls.link(f"traces/{quote(trace_id, safe='')}"))


@dataclass(slots=True)
class _Outline:
    """The spans of a trace as columns, in the order of their starts."""

    strings: list[str] = field(default_factory=list)
    ids: list[str] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    names: list[int] = field(default_factory=list)
    kinds: list[int] = field(default_factory=list)
    codes: list[int] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)
    agents: list[int] = field(default_factory=list)
    models: list[int] = field(default_factory=list)
    inputs: list[float] = field(default_factory=list)
    outputs: list[float] = field(default_factory=list)
    costs: list[float] = field(default_factory=list)

    def extend(self, chunk: Any) -> None:
        self.strings += chunk.strings
        self.ids += chunk.span_ids
        self.parents += chunk.parent_rows
        self.names += chunk.names
        self.kinds += chunk.kinds
        self.codes += chunk.status_codes
        self.milliseconds += chunk.durations_ms
        self.agents += chunk.agents
        self.models += chunk.models
        self.inputs += chunk.input_tokens
        self.outputs += chunk.output_tokens
        self.costs += chunk.costs_usd

    def is_error(self, row: int) -> bool:
        return self.codes[row] == span_pb2.STATUS_CODE_ERROR

    def shape(self, row: int) -> tuple[int, int, int]:
        """What equal spans have in common."""
        return self.kinds[row], self.names[row], self.codes[row]

    def told(self, row: int, depth: int = 0) -> str:
        """A span on one line."""
        kind = _KINDS.get(self.kinds[row], "span")
        milliseconds = self.milliseconds[row]
        facts = [
            f"{kind} {code(line(self.strings[self.names[row]], 100))}",
            "**error**" if self.is_error(row) else "",
            "open" if milliseconds < 0 else _seconds(milliseconds / 1e3),
            line(self.strings[self.models[row]], 60),
            _tokens(self.inputs[row], self.outputs[row]),
            f"${self.costs[row]:.6f}" if self.costs[row] > 0 else "",
            f"agent {line(self.strings[self.agents[row]], 60)}" if self.agents[row] else "",
            code(self.ids[row]),
        ]
        return f"{'  ' * depth}- {' · '.join(filter(None, facts))}"


async def _outline(calls: Calls, trace_id: str) -> tuple[_Outline, int]:
    """The first spans of a trace, and how many it has."""
    spans, total = _Outline(), 0
    request = query_service_pb2.GetTraceOutlineRequest(trace_id=trace_id)
    async with contextlib.aclosing(calls.many("QueryService/GetTraceOutline", request)) as parts:
        async for part in parts:
            spans.extend(part.chunk)
            total = part.span_count
            if len(spans.ids) >= _MOST_SPANS:
                break
    return spans, total


def _tree(spans: _Outline, wanted: Any) -> Iterator[str]:
    """A line for each span below its parent, or for many equal ones."""
    children: dict[int, list[int]] = defaultdict(list)
    number = len(spans.ids)
    for row, parent in enumerate(spans.parents):
        children[parent if parent < number else -1].append(row)
    shown = set(range(number)) if wanted is None else _with_parents(spans, wanted)
    reached: set[int] = set()
    waiting: list[tuple[int, int, str]] = []  # a row and its depth, or a line

    def push(rows: list[int], depth: int) -> None:
        waiting.extend(reversed(list(_folded(spans, rows, children, depth))))

    # A circle of parents has no root: each of its spans is one then, when all others were reached.
    for root in (*children[-1], *range(number)):
        if root in reached or root not in shown:
            continue
        waiting.append((root, 0, ""))
        while waiting:
            row, depth, text = waiting.pop()
            if text:
                yield text
                continue
            if row in reached:
                continue
            reached.add(row)
            yield spans.told(row, min(depth, 20))
            push([child for child in children[row] if child in shown], depth + 1)


def _folded(
    spans: _Outline, rows: list[int], children: Mapping[int, list[int]], depth: int
) -> Iterator[tuple[int, int, str]]:
    """The rows, of which many equal ones without children become two and a line."""
    start = 0
    while start < len(rows):
        end = start
        shape = spans.shape(rows[start])
        while end < len(rows) and spans.shape(rows[end]) == shape and not children.get(rows[end]):
            end += 1
        if end - start < _FEWEST_FOLDED or spans.is_error(rows[start]):
            end = max(end, start + 1)
            yield from ((row, depth, "") for row in rows[start:end])
        else:
            yield from ((row, depth, "") for row in rows[start : start + 2])
            indent = "  " * min(depth, 20)
            first, last = rows[start + 2], rows[end - 1]
            ids = f"{code(spans.ids[first])} to {code(spans.ids[last])}"
            yield first, depth, f"{indent}- … {end - start - 2} more like it, {ids}"
        start = end


def _with_parents(spans: _Outline, wanted: Any) -> set[int]:
    found: set[int] = set()
    for row in range(len(spans.ids)):
        if wanted(spans, row):
            while 0 <= row < len(spans.ids) and row not in found:
                found.add(row)
                row = spans.parents[row]
    return found


def _state(trace: Any) -> str:
    if trace.status.code == span_pb2.STATUS_CODE_ERROR:
        said = f" ({line(trace.status.message, 100)})" if trace.status.message else ""
        return f"**error**{said}"
    return "" if trace.HasField("end_time") else "running"


def _figures(figures: Any) -> Iterator[str]:
    yield f"{figures.span_count} spans"
    if figures.error_count:
        yield f"**{figures.error_count} failed**"
    yield _tokens(figures.input_tokens, figures.output_tokens)
    if figures.HasField("cost_usd"):
        unpriced = figures.model_call_count - figures.priced_model_call_count
        yield f"${figures.cost_usd:.6f}{f' without {unpriced} calls' if unpriced > 0 else ''}"


def _tokens(input_tokens: float, output_tokens: float) -> str:
    if max(input_tokens, output_tokens) <= 0:
        return ""
    return f"{max(input_tokens, 0):.0f} tokens in, {max(output_tokens, 0):.0f} out"


def _seconds(seconds: float) -> str:
    return f"{seconds:.2f} s" if seconds >= 1 else f"{seconds * 1e3:.0f} ms"


def _time(value: Any) -> str:
    return value.ToJsonString()[:19] + "Z"  # type: ignore[no-any-return]
