"""Usage and agents as their callers see them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from operator import attrgetter
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, func, select

from spanloom.model import MAX_TIME_NS, AgentQuery, AgentTotals, Page, sketch
from spanloom.model.own_use import dollars
from spanloom.model.usage import UsagePoint, UsageQuery
from spanloom.store.sql.agent_queries import names_agent
from spanloom.store.sql.database import Database
from spanloom.store.sql.tables import bodies, spans, traces
from spanloom.store.sql.usage.cells import DAY, Sum
from spanloom.store.sql.usage.totals import (
    OTHERS,
    Group,
    Question,
    Totals,
    answer,
    ascii_lower,
    bucket_by,
    number,
    tiles_between,
)

_PERCENTILES: Final = (50, 95, 99)
_ALWAYS: Final = ((DAY, -MAX_TIME_NS, MAX_TIME_NS),)
Check = Callable[[], None]


def usage_points(
    connection: Connection, database: Database, project: str, query: UsageQuery, check: Check
) -> list[UsagePoint]:
    """The points of usage, by bucket, then group; the sum of further groups last."""
    where = {
        name: ascii_lower(value) if name == "provider" else value
        for name, value in query.where.items()
    }
    question = Question(
        group_by=query.group_by,
        where=where,
        tiles=tiles_between(query.edges),
        bucket=bucket_by(query.edges),
        one_bucket=query.edges[0] if len(query.edges) == 2 else None,
        with_sketches=True,
        most_groups=query.most_groups,
    )
    found = answer(connection, database, project, question, check)
    if any(total.loose for (_, group), total in found.items() if group == OTHERS):
        # An extreme of one of them is gone: which group it is of is needed.
        every = replace(question, most_groups=None)
        found = answer(connection, database, project, every, check)
    others: dict[int, Sum] = {}
    if query.group_by:
        others = {place[0]: found.pop(place) for place in list(found) if place[1] == OTHERS}
    befores = dict(pairwise(query.edges))
    for (bucket, group), total in found.items():
        if total.loose:
            of_group = {**where, **dict(zip(query.group_by, group, strict=True))}
            range_ns = (bucket, befores[bucket])
            total.starts = _exact_starts(connection, project, of_group, range_ns)
    kept = _first_groups(found, query.most_groups)
    points = []
    for (bucket, group), total in found.items():
        if group in kept:
            points.append(_point(bucket, group, total))
        else:
            others.setdefault(bucket, Sum()).add(total)
    points += [_point(bucket, (), total, others=True) for bucket, total in others.items()]
    return sorted(points, key=lambda point: (point.bucket_ns, point.others, point.group))


def agents(
    connection: Connection, database: Database, project: str, query: AgentQuery, check: Check
) -> Page[AgentTotals]:
    """One page of agents, or of their versions, and how many there are."""
    question = Question(
        group_by=("agent_name", "agent_version") if query.by_version else ("agent_name",),
        where={"agent_name": query.agent_name} if query.agent_name else {},
        tiles=_ALWAYS,
        bucket=lambda _: 0,
        one_bucket=0,
    )
    found = []
    for (_, group), total in answer(connection, database, project, question, check).items():
        if not group[0] or not number(total, "spans"):
            continue
        if total.loose:
            of_group = dict(zip(question.group_by, group, strict=True))
            total.starts = _exact_starts(connection, project, of_group, None)
        found.append(_agent(group, total))
    found.sort(key=lambda agent: (agent.agent_name, agent.agent_version))
    for name, descending in reversed(query.order):
        if name == "cost":  # absent costs last, whatever the order
            found.sort(key=lambda agent: agent.cost or 0.0, reverse=descending)
            found.sort(key=lambda agent: agent.cost is None)
        else:
            found.sort(key=attrgetter(name), reverse=descending)
    return Page(found[query.offset : query.offset + query.limit], len(found))


def _agent(group: Group, total: Sum) -> AgentTotals:
    return AgentTotals(
        agent_name=group[0],
        agent_version=group[1] if len(group) > 1 else "",
        invocations=int(number(total, "invocations")),
        spans=int(number(total, "spans")),
        input_tokens=float(number(total, "input_tokens")),
        output_tokens=float(number(total, "output_tokens")),
        duration_ms=number(total, "took_ns") / 1e6,
        errors=int(number(total, "errors")),
        first_ns=total.starts[0],
        last_ns=total.starts[-1],
        cost=_cost(total),
    )


def _point(bucket: int, group: Group, total: Sum, *, others: bool = False) -> UsagePoint:
    return UsagePoint(
        bucket_ns=bucket,
        group=group,
        others=others,
        **{name: int(number(total, name)) for name in _COUNTS},
        input_tokens=float(number(total, "input_tokens")),
        output_tokens=float(number(total, "output_tokens")),
        cost=_cost(total),
        duration_ms=number(total, "duration_ns") / 1e6,
        percentiles_ms=sketch.percentiles(total.sketch, _PERCENTILES),
        first_ns=total.starts[0] if total.starts else None,
        last_ns=total.starts[-1] if total.starts else None,
    )


_COUNTS: Final = (
    *("traces", "failed_traces", "spans", "errors", "model_calls", "tool_calls", "priced_calls"),
)


def _cost(total: Sum) -> float | None:
    return dollars(number(total, "cost")) if number(total, "priced") else None


def _first_groups(found: Totals, most: int) -> set[Group]:
    """The groups with the highest cost, among equals those with the most spans."""
    ranks: dict[Group, list[float]] = {}
    for (_, group), total in found.items():
        rank = ranks.setdefault(group, [0, 0])
        rank[0] -= number(total, "cost")
        rank[1] -= number(total, "spans")
    return set(sorted(ranks, key=lambda group: (ranks[group], group))[:most])


def _exact_starts(
    connection: Connection,
    project: str,
    of_group: Mapping[str, str],
    range_ns: tuple[int, int] | None,
) -> list[int]:
    """The earliest and the latest start of the spans of a group, [] of none."""
    kept = spans.outerjoin(
        traces,
        (traces.c.project == spans.c.project) & (traces.c.trace_id == spans.c.trace_id),
    ).outerjoin(bodies, bodies.c.span_version == spans.c.version)
    columns: dict[str, ColumnElement[Any]] = {
        "user_id": func.coalesce(traces.c.user_id, ""),
        "feature": func.coalesce(traces.c.feature_slug, ""),
        "source": func.coalesce(bodies.c.adapter, ""),
        "provider": func.lower(spans.c.provider),
    }
    where = [spans.c.project == project]
    for name, value in of_group.items():
        column = columns[name] if name in columns else spans.c[name]
        where.append(column == (ascii_lower(value) if name == "provider" else value))
    if agent_name := of_group.get("agent_name"):
        where.append(names_agent(agent_name))
    if range_ns is not None:
        where += [spans.c.start_ns >= range_ns[0], spans.c.start_ns < range_ns[1]]
    ends: Sequence[Any] = connection.execute(
        select(func.min(spans.c.start_ns), func.max(spans.c.start_ns))
        .select_from(kept if {"user_id", "feature", "source"} & of_group.keys() else spans)
        .where(*where)
    ).one()
    return [] if ends[0] is None else list(ends)
