"""Updates of events: patches in a table of their own, and spans written again with their patches
applied.

Both are in one transaction: that of the patch for the spans that are there, that of the span for
the patches that came before it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import Connection, Select, bindparam, delete, select

from spanloom import errors
from spanloom.model.patch import Patch, joined, patched
from spanloom.store.sql import rows
from spanloom.store.sql.database import Database, Row
from spanloom.store.sql.event_ids import of_events
from spanloom.store.sql.reading import Updates, select_whole
from spanloom.store.sql.tables import bodies, patches, spans, traces
from spanloom.store.sql.transaction import Transaction

log = logging.getLogger("spanloom.store")

# More patches of one event than this are merged into one.
_MOST_PATCHES = 16
# The updates of one event, as JSON.
MOST_BYTES = 16 << 20
_PATCHES = (
    select(
        *(patches.c.event_id, patches.c.trace_id, patches.c.id),
        *(patches.c.sequence, patches.c.body),
    )
    .where(patches.c.project == bindparam("project"))
    .order_by(patches.c.sequence, patches.c.id)
)
# The name in a patch of the adapter to whose spans alone it is applied.
_ADAPTER = "adapter"
_CANNOT = "the updates of event %r in project %r cannot be applied"


def of_event(connection: Connection, project: str, event_id: str) -> dict[str, object]:
    """All updates of one event, as one patch; {} for none."""
    found = _PATCHES.where(patches.c.event_id == event_id, patches.c.trace_id == "")
    stored = connection.execute(found, {"project": project})
    return joined(_without_adapter(orjson.loads(row.body)) for row in stored)


def row_of(project: str, event_id: str, patch: Patch, only_of: str, trace_id: str = "") -> Row:
    """As `rows.patch_row`; with `only_of`, of an update that is applied only to what that adapter
    wrote."""
    whole = {**patch, _ADAPTER: only_of} if only_of else patch
    return rows.patch_row(project, event_id, whole, trace_id)


def apply(transaction: Transaction, project: str, ids: Collection[str]) -> None:
    """Write the spans with these event ids or span ids with their patches.

    A span whose patches cannot be applied is kept as it is, and the log names it: what is stored of
    one span must not refuse the writes of others.
    """
    known = _Patches(transaction, project)
    known.look_up(ids)
    if not known.of:
        return
    known.check_size()
    event_ids = [event_id for trace_id, event_id in known.of if not trace_id]
    of_spans = {key for key in known.of if key[0]}
    database = transaction.database
    found: dict[int, Any] = {}
    for condition in (
        [of_events(database, event_ids)] if event_ids else None,
        [
            database.among(spans.c.trace_id, {trace_id for trace_id, _ in of_spans}),
            database.among(spans.c.span_id, {span_id for _, span_id in of_spans}),
        ]
        if of_spans
        else None,
    ):
        if condition is not None:
            query = _with_bodies(select(spans).where(spans.c.project == project, *condition))
            found.update(
                {row.span_version: row for row in transaction.connection.execute(query).fetchall()}
            )
    # A span that was found by one of its ids may have updates under the other.
    known.look_up({each for row in found.values() for each in (row.event_id, row.span_id)})
    _rewrite(transaction, project, found.values(), known)
    known.merge()


class _Patches:
    """Patches by whose they are: ("", event id), or (trace id, span id)."""

    def __init__(self, transaction: Transaction, project: str) -> None:
        self._transaction = transaction
        self._project = project
        self._asked: set[str] = set()
        self.of: dict[tuple[str, str], list[Any]] = {}

    def look_up(self, ids: Collection[str]) -> None:
        """Have the patches under these ids."""
        new = set(ids) - self._asked
        if not new:
            return
        self._asked |= new
        database = self._transaction.database
        wanted = {"project": self._project, "event_ids": database.texts(new)}
        found = self._transaction.connection.execute(_of_events(database), wanted)
        for row in found.fetchall():
            self.of.setdefault((row.trace_id, row.event_id), []).append(row)

    def check_size(self) -> None:
        """Refuse an update with which those of an event are too large: every update of it reads
        all of them."""
        for found in self.of.values():
            is_new = any(self._transaction.is_own(row.sequence) for row in found)
            if is_new and sum(len(row.body) for row in found) > MOST_BYTES:
                raise errors.event_too_large(MOST_BYTES)

    def for_span(self, row: Any) -> dict[str, Any]:
        """What all patches of a span do, one after the other, as one patch; {} for none."""
        both = [
            *self.of.get(("", row.event_id), ()),
            *self.of.get((row.trace_id, row.span_id), ()),
        ]
        both.sort(key=lambda each: (each.sequence, each.id))
        each = [orjson.loads(patch.body) for patch in both]
        adapter = ""
        if any(_ADAPTER in patch for patch in each):
            adapter = row.base_adapter or self._transaction.reader.to_base(row).sent.adapter
        return joined(
            _without_adapter(patch) for patch in each if patch.get(_ADAPTER, adapter) == adapter
        )

    def merge(self) -> None:
        """Keep one patch in place of many, unless one of another sort may be between them."""
        if len({bool(trace_id) for trace_id, _ in self.of}) > 1:
            return
        for (trace_id, event_id), found in self.of.items():
            if len(found) <= _MOST_PATCHES:
                continue
            each = [orjson.loads(row.body) for row in found]
            if len({patch.get(_ADAPTER) for patch in each}) > 1:
                continue
            try:
                merged = rows.patch_row(self._project, event_id, joined(each), trace_id)
            except Exception:
                log.exception(_CANNOT, event_id, self._project)
                continue
            _replace(self._transaction, self._project, found, merged)


def _without_adapter(patch: Patch) -> Patch:
    return {name: value for name, value in patch.items() if name != _ADAPTER}


def _with_bodies(found: Any) -> Any:
    base = (bodies.c.adapter, bodies.c.sent, bodies.c.envelope)
    return select_whole(found, ()).add_columns(
        *(column.label(f"base_{column.name}") for column in base)
    )


def _rewrite(transaction: Transaction, project: str, found: Iterable[Any], known: _Patches) -> None:
    """Write the spans that do not have their patches yet: the columns anew, and the patches beside
    what was sent."""
    span_rows: list[Row] = []
    body_rows: list[Row] = []
    trace_rows: list[Row] = []
    for row in found:
        try:
            patch = known.for_span(row)
            if not patch:
                continue
            if row.updates and Updates.of(row.updates).patch == patch:
                continue
            base = transaction.reader.to_base(row)
            whole = patched(base, patch)
            updates = Updates.between(base, whole, patch)
            made = rows.updated_rows(project, row[-3:], whole, updates.text())
        except Exception:
            log.exception(_CANNOT, row.event_id, project)
            continue
        if not transaction.is_own(row.span_version):
            transaction.may_change_others()
        span_rows += made.spans
        body_rows += made.bodies
        trace_rows += made.traces
    transaction.rewrite({spans: span_rows, bodies: body_rows, traces: trace_rows})


def _replace(transaction: Transaction, project: str, found: Sequence[Any], merged: Row) -> None:
    """Keep one patch in place of many."""
    transaction.rewrite({patches: [merged]})
    transaction.connection.execute(
        delete(patches).where(
            patches.c.project == project,
            patches.c.event_id == found[0].event_id,
            transaction.database.among(patches.c.id, [row.id for row in found]),
        )
    )


@lru_cache(maxsize=16)
def _of_events(database: Database) -> Select[Any]:
    """The patches of all events in the parameter `event_ids`."""
    return _PATCHES.where(database.among_named(patches.c.event_id, "event_ids"))
