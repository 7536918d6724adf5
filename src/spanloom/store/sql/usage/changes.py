"""What has changed since the sums were made, by trace."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Select, func, select

from spanloom.store.sql.database import Database
from spanloom.store.sql.tables import (
    bodies,
    spans,
    traces,
    usage_cursor,
    usage_moved,
    usage_retired,
)
from spanloom.store.sql.usage.parts import MOST_SPANS, Part, Row, part_of, parts_of, rows_of

# The version of the code that makes the sums: those of an earlier one are made anew.
READER = 2
# Traces whose rows are read together.
_TRACES = 200

# Of a trace without a row.
_NOTHING = ("", "", 0)

# A part, and whether it is added (1) or taken away (-1).
Change = tuple[Part, int]
Trace = tuple[str, str]  # its project and its id

_NOTED = select(
    select(func.count()).select_from(usage_retired).scalar_subquery(),
    select(func.coalesce(func.sum(usage_moved.c.times), 0)).scalar_subquery(),
)
_ROW = (
    *(spans.c.project, spans.c.trace_id, spans.c.span_id, spans.c.version, spans.c.parent_id),
    *(spans.c.name, spans.c.kind, spans.c.operation, spans.c.start_ns, spans.c.end_ns),
    *(spans.c.duration_ms, spans.c.status, spans.c.agent_name, spans.c.agent_version),
    *(spans.c.provider, spans.c.model, spans.c.input_tokens, spans.c.output_tokens, spans.c.cost),
    func.coalesce(bodies.c.adapter, "").label("source"),
)


@dataclass(frozen=True, slots=True)
class Window:
    """Versions of spans: those from `reached` on are not summed up, and those from `limit` on are
    left for later; None for all."""

    reached: int
    limit: int | None


def position(connection: Connection) -> tuple[int, int]:
    """How far the sums have come, and which version of the code made them."""
    row = connection.execute(select(usage_cursor)).one()
    return row.reached, row.reader


def noted(connection: Connection) -> tuple[int, int]:
    """What triggers have noted, as numbers that grow with each note."""
    row = connection.execute(_NOTED).one()
    return row[0], row[1]


def is_quiet(connection: Connection, reached: int) -> bool:
    """Whether nothing has changed."""
    young = select(spans.c.version).where(spans.c.version >= reached).limit(1)
    return connection.execute(young).first() is None and noted(connection) == (0, 0)


def changes(
    connection: Connection,
    database: Database,
    window: Window,
    project: str | None = None,
    check: Callable[[], None] = lambda: None,
) -> Iterator[Change]:
    """All that has to be added to the sums and taken from them, of one project or of all."""
    retired: defaultdict[Trace, list[Row]] = defaultdict(list)
    old_ones = select(usage_retired)
    moved_ones = select(usage_moved)
    young = select(spans.c.project, spans.c.trace_id, func.count()).where(
        spans.c.version >= window.reached
    )
    if window.limit is not None:
        young = young.where(spans.c.version < window.limit)
    if project is not None:
        old_ones = old_ones.where(usage_retired.c.project == project)
        moved_ones = moved_ones.where(usage_moved.c.project == project)
        young = young.where(spans.c.project == project)
    for row in rows_of(connection.execute(old_ones)):
        retired[row.project, row.trace_id].append(row)
    moved = {
        (row.project, row.trace_id): (row.user_id, row.feature)
        for row in connection.execute(moved_ones)
    }
    new = {
        (of, trace_id): number
        for of, trace_id, number in connection.execute(
            young.group_by(spans.c.project, spans.c.trace_id)
        )
    }
    touched: defaultdict[str, list[str]] = defaultdict(list)
    for of, trace_id in {**dict.fromkeys(retired), **dict.fromkeys(moved), **new}:
        touched[of].append(trace_id)
    for of, trace_ids in touched.items():
        for some in _slices(sorted(trace_ids)):
            check()
            yield from _of_traces(connection, database, window, of, some, retired, moved, new)


def all_parts(
    connection: Connection,
    database: Database,
    project: str,
    trace_ids: Sequence[str],
    check: Callable[[], None],
) -> Iterator[Part]:
    """The parts of all spans of traces, whatever is summed up."""
    for some in _slices(trace_ids):
        check()
        told = _told(connection, database, project, some, reached=0)
        for trace_id, rows in _rows(connection, database, project, some).items():
            yield from parts_of(rows, *told.get(trace_id, _NOTHING)[:2]).values()


def _of_traces(
    connection: Connection,
    database: Database,
    window: Window,
    project: str,
    trace_ids: Sequence[str],
    retired: dict[Trace, list[Row]],
    moved: dict[Trace, tuple[str, str]],
    new: dict[Trace, int],
) -> Iterator[Change]:
    told = _told(connection, database, project, trace_ids, reached=window.reached)
    usual = []
    for trace_id in trace_ids:
        trace = (project, trace_id)
        user_id, feature, summed_up = told.get(trace_id, _NOTHING)
        if summed_up <= MOST_SPANS or trace in moved:
            usual.append(trace_id)
            continue
        # Large before and after: each part is that of its row alone.
        for row in retired.get(trace, ()):
            yield part_of(row, user_id, feature), -1
        if new.get(trace):
            of_window = spans.c.version >= window.reached
            for row in _rows(connection, database, project, [trace_id], of_window)[trace_id]:
                if window.limit is None or row.version < window.limit:
                    yield part_of(row, user_id, feature), 1
    for trace_id, rows in _rows(connection, database, project, usual).items():
        trace = (project, trace_id)
        now = told.get(trace_id, _NOTHING)[:2]
        present = [row for row in rows if window.limit is None or row.version < window.limit]
        known = [row for row in present if row.version < window.reached]
        before = parts_of([*known, *retired.get(trace, ())], *moved.get(trace, now))
        after = parts_of(present, *now)
        for parts, other, sign in ((before, after, -1), (after, before, 1)):
            for row, part in parts.items():
                if other.get(row) != part:
                    yield part, sign


def _rows(
    connection: Connection,
    database: Database,
    project: str,
    trace_ids: Sequence[str],
    which: Any = None,
) -> dict[str, list[Row]]:
    """The rows of traces, [] of those that have none."""
    found: dict[str, list[Row]] = {trace_id: [] for trace_id in trace_ids}
    if not found:
        return found
    narrow: Select[Any] = (
        select(*_ROW)
        .select_from(spans.outerjoin(bodies, bodies.c.span_version == spans.c.version))
        .where(spans.c.project == project, database.among(spans.c.trace_id, trace_ids))
    )
    if which is not None:
        narrow = narrow.where(which)
    for row in rows_of(connection.execute(narrow)):
        found[row.trace_id].append(row)
    return found


def _told(
    connection: Connection,
    database: Database,
    project: str,
    trace_ids: Sequence[str],
    *,
    reached: int,
) -> dict[str, tuple[str, str, int]]:
    """User and feature of traces, and how many rows of each are summed up and still there, at most
    one more than MOST_SPANS."""
    some = (
        select(spans.c.version)
        .where(
            spans.c.project == traces.c.project,
            spans.c.trace_id == traces.c.trace_id,
            spans.c.version < reached,
        )
        .correlate(traces)
        .limit(MOST_SPANS + 1)
        .subquery()
    )
    number = select(func.count()).select_from(some).scalar_subquery()
    found = select(traces.c.trace_id, traces.c.user_id, traces.c.feature_slug, number).where(
        traces.c.project == project, database.among(traces.c.trace_id, trace_ids)
    )
    return {row[0]: (row[1], row[2], row[3]) for row in connection.execute(found)}


def _slices(trace_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(trace_ids), _TRACES):
        yield trace_ids[start : start + _TRACES]
