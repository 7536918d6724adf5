"""What each span of a trace adds to sums, as a pure function of the trace's narrow rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from spanloom.model import MAX_TIME_NS
from spanloom.model.own_use import Own, Reported, own_uses, picodollars

HOUR_NS: Final = 3600 * 10**9
DAY_NS: Final = 24 * HOUR_NS
# The first day of which the start fits in 64 bits. What started in the part of a day before it is
# summed up with it.
FIRST_DAY_NS: Final = -(MAX_TIME_NS // DAY_NS) * DAY_NS
DIMENSIONS: Final = (
    *("kind", "name", "provider", "model", "agent_name", "agent_version"),
    *("user_id", "feature", "source"),
)
_AGENT_AT: Final = DIMENSIONS.index("agent_name")
NUMBERS: Final = (
    *("spans", "errors", "traces", "failed_traces", "model_calls", "tool_calls", "invocations"),
    *("priced_calls", "priced", "reported_cost", "input_tokens", "output_tokens", "cost"),
    *("ended", "duration_ns", "took_ns"),
)
# A trace with more spans is summed up span by span: as they report, and each root as a trace. Else
# each span that is added to it would cost as much as all of them.
MOST_SPANS: Final = 10_000
# A sum of longer durations is not exact any more, and stays finite.
_LONGEST_MS: Final = 1e15


class Part(NamedTuple):
    """What a span adds: where, which numbers, and for its extremes its start and its duration.

    The numbers are in the order of NUMBERS: costs are picodollars, `took_ns` is end less start.
    `charged` are name and version of another agent that is charged with what the span used.
    """

    project: str
    hour_ns: int
    dimensions: tuple[str, ...]
    numbers: tuple[int, ...]
    start_ns: int | None
    duration_ms: float | None
    charged: tuple[str, str] | None = None


class Row(NamedTuple):
    """A narrow row of a span, in the order of `usage_retired`; `source` is the adapter that the
    span came by."""

    project: str
    trace_id: str
    span_id: str
    version: int
    parent_id: str
    name: str
    kind: str
    operation: str
    start_ns: int
    end_ns: int | None
    duration_ms: float | None
    status: str
    agent_name: str
    agent_version: str
    provider: str
    model: str
    input_tokens: int | None
    output_tokens: int | None
    cost: float | None
    source: str


def parts_of(rows: Sequence[Row], user_id: str, feature: str) -> dict[Row, Part]:
    """The parts of all spans of one trace, by row. Their order does not matter."""
    if len(rows) > MOST_SPANS:
        return {row: part_of(row, user_id, feature) for row in rows}
    owns: Mapping[str, Own] = {}
    agents: Mapping[str, tuple[str, str]] = {}
    if len(rows) > 1:
        owns = own_uses([_reported(row) for row in rows])
        agents = _agents_above(rows)
    head = min(rows, key=lambda row: (row.parent_id != "", row.start_ns, row.span_id), default=None)
    failed = any(row.status == "ERROR" for row in rows)
    found: dict[Row, Part] = {}
    for row in rows:
        part = part_of(
            row, user_id, feature, owns.get(row.span_id), (row is head, row is head and failed)
        )
        agent = agents.get(row.span_id)
        found[row] = part if agent is None else part._replace(charged=agent)
    return found


def part_of(
    row: Row,
    user_id: str,
    feature: str,
    own: Own | None = None,
    of_trace: tuple[bool, bool] | None = None,
) -> Part:
    """The part of a span.

    Args:
        own: where it is not all that the span reports.
        of_trace: whether the span counts for its trace, and whether that counts as failed; None
            where each root does.
    """
    is_error = row.status == "ERROR"
    if of_trace is None:
        of_trace = (row.parent_id == "", row.parent_id == "" and is_error)
    cost = picodollars(row.cost)
    used = (row.input_tokens, row.output_tokens, cost) if own is None else own.use
    is_call = row.kind == "model" and not (own is not None and own.is_repeated)
    duration = row.duration_ms
    took = 0 if row.end_ns is None else max(0, row.end_ns - row.start_ns)
    numbers = (
        1,
        int(is_error),
        int(of_trace[0]),
        int(of_trace[1]),
        int(is_call),
        int(row.kind == "tool"),
        int(row.operation == "invoke_agent"),
        int(is_call and cost is not None),
        int(cost is not None),
        cost or 0,
        used[0] or 0,
        used[1] or 0,
        used[2] or 0,
        int(duration is not None),
        0 if duration is None else nanoseconds(duration),
        took,
    )
    dimensions = (
        *(row.kind, row.name, row.provider, row.model, row.agent_name, row.agent_version),
        *(user_id, feature, row.source),
    )
    hour = max(row.start_ns - row.start_ns % HOUR_NS, FIRST_DAY_NS)
    return Part(row.project, hour, dimensions, numbers, row.start_ns, duration)


# What an agent is charged with: costs and tokens.
_USE: Final = tuple(
    name in ("priced", "input_tokens", "output_tokens", "cost", "reported_cost") for name in NUMBERS
)


def by_agent(part: Part) -> tuple[Part, ...]:
    """The part of a span, and apart from it what another agent is charged with. The latter has no
    start."""
    agent = part.charged
    if agent is None:
        return (part,)
    dimensions = (*part.dimensions[:_AGENT_AT], *agent, *part.dimensions[_AGENT_AT + 2 :])
    pairs = list(zip(part.numbers, _USE, strict=True))
    rest = tuple([0 if is_use else n for n, is_use in pairs])
    used = tuple([n if is_use else 0 for n, is_use in pairs])
    return (
        part._replace(numbers=rest),
        Part(part.project, part.hour_ns, dimensions, used, None, None),
    )


def _agents_above(rows: Iterable[Row]) -> dict[str, tuple[str, str]]:
    """Name and version of the nearest agent above each span that used something and names none."""
    by_id = {row.span_id: row for row in rows}
    if not any(row.agent_name for row in by_id.values()):
        return {}
    found: dict[str, tuple[str, str]] = {}
    for row in by_id.values():
        if row.agent_name or not (row.input_tokens or row.output_tokens or row.cost):
            continue
        trail: list[str] = []
        here: Row | None = row
        agent = ("", "")
        seen: set[str] = set()
        while here is not None and here.span_id not in seen:
            if here.agent_name or here.span_id in found:
                agent = found.get(here.span_id, (here.agent_name, here.agent_version))
                break
            seen.add(here.span_id)
            trail.append(here.span_id)
            here = by_id.get(here.parent_id)
        found.update(dict.fromkeys(trail, agent))
    used = (row.span_id for row in by_id.values() if not row.agent_name)
    return {span_id: found[span_id] for span_id in used if found.get(span_id, ("", ""))[0]}


def _reported(row: Row) -> Reported:
    use = (row.input_tokens, row.output_tokens, picodollars(row.cost))
    return Reported(row.span_id, row.parent_id, row.kind, row.operation, use)


def nanoseconds(milliseconds: float) -> int:
    """A duration as a whole number."""
    return round(max(-_LONGEST_MS, min(milliseconds, _LONGEST_MS)) * 1_000_000)


def rows_of(found: Iterable[Sequence[Any]]) -> Iterable[Row]:
    """Rows as a database gives them."""
    return map(Row._make, found)
