"""Updates of events: patches in a table of their own, and spans written again with their patches
applied.

Both are in one transaction: that of the patch for the spans that are there, that of the span for
the patches that came before it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any

import orjson
from sqlalchemy import Connection, Select, bindparam, delete, func, select, update

from spanloom import errors
from spanloom.model.patch import APPENDED, Patch, joined, patched
from spanloom.model.prices import READ_FOR
from spanloom.store.sql import rows
from spanloom.store.sql.attachments import content_rows
from spanloom.store.sql.database import Database, Row
from spanloom.store.sql.event_ids import of_events
from spanloom.store.sql.event_sizes import EventSizes
from spanloom.store.sql.packing import Contents, contents_in
from spanloom.store.sql.pieces import mark_of, with_pieces
from spanloom.store.sql.reading import SpanReader, Updates, message_of, select_whole
from spanloom.store.sql.tables import attachments, bodies, patches, spans, traces
from spanloom.store.sql.transaction import Transaction

log = logging.getLogger("spanloom.store")

# More patches of one event than this are merged into one.
_MOST_PATCHES = 16
# Patches of more bytes are merged where that leaves less than half of them.
_MERGED_BYTES = 1 << 20
_PATCHES = (
    select(
        *(patches.c.event_id, patches.c.trace_id, patches.c.id),
        *(patches.c.sequence, patches.c.body),
    )
    .where(patches.c.project == bindparam("project"))
    .order_by(patches.c.sequence, patches.c.id)
)
_BODY_AT = patches.columns.keys().index("body")
# The name in a patch of the adapter to whose spans alone it is applied.
_ADAPTER = "adapter"
_CANNOT = "the updates of event %r in project %r cannot be applied"


def of_event(connection: Connection, project: str, event_id: str) -> dict[str, object]:
    """All updates that wait for an event, or are of it in the trace with its id, as one patch; {}
    for none."""
    found = _PATCHES.where(patches.c.event_id == event_id, patches.c.trace_id.in_(("", event_id)))
    stored = connection.execute(found, {"project": project})
    return joined(_without_adapter(orjson.loads(row.body)) for row in stored)


def row_of(project: str, event_id: str, patch: Patch, only_of: str, trace_id: str = "") -> Row:
    """As `rows.patch_row`; with `only_of`, of an update that is applied only to what that adapter
    wrote."""
    whole = {**patch, _ADAPTER: only_of} if only_of else patch
    return rows.patch_row(project, event_id, whole, trace_id)


def checked_size(
    connection: Connection,
    database: Database,
    reader: SpanReader,
    key: tuple[str, str, str],
    update: int,
) -> int:
    """The bytes of an event with its updates and one more, which the writer would refuse as well,
    but only after it has written it.

    Args:
        key: The project, the id of the event or span, and its trace or "".
        update: The bytes of the update.

    Raises:
        SpanloomError: INVALID_ARGUMENT if it is too large.
    """
    project, event_id, trace_id = key
    reader.sizes.check_updates(update)
    updates = select(func.sum(func.length(patches.c.body))).where(
        patches.c.project == project, patches.c.event_id == event_id
    )
    found = select(spans).where(spans.c.project == project, of_events(database, [event_id]))
    if trace_id:
        updates = updates.where(patches.c.trace_id.in_(("", trace_id)))
        found = select(spans).where(
            spans.c.project == project,
            spans.c.trace_id == trace_id,
            (spans.c.event_id == event_id) | (spans.c.span_id == event_id),
        )
    size = update + int(connection.execute(updates).scalar() or 0)
    reader.sizes.check_updates(size)
    if row := connection.execute(_with_bodies(found.limit(1))).first():
        with suppress(errors.SpanloomError):  # what is damaged has no size
            size += len(message_of(row))
    return reader.sizes.check(size)


def update_event(
    transaction: Transaction,
    project: str,
    event_id: str,
    patch: Patch,
    trace_id: str = "",
    only_of: str = "",
) -> errors.SpanloomError | None:
    """Write an update of the event in the trace, or in the one trace that has it; where none has
    it, the update waits for the first that gets it. The error where several traces have it.
    `only_of` as of `row_of`."""
    if not trace_id:
        having = traces_with(transaction, project, event_id)
        if len(having) > 1:
            return errors.ambiguous_event(event_id)
        trace_id = next(iter(having), "")
    row = row_of(project, event_id, patch, only_of, trace_id)
    transaction.write({patches: [row]})
    return None


def traces_with(transaction: Transaction, project: str, event_id: str) -> list[str]:
    """The trace that has an event with an id; two of them where several have it."""
    of_event = of_events(transaction.database, [event_id])
    found = select(spans.c.trace_id).where(spans.c.project == project, of_event).distinct()
    return list(transaction.connection.execute(found.limit(2)).scalars())


def move(
    transaction: Transaction,
    project: str,
    event_id: str,
    old: str,
    new: str,
    ids: Collection[Any] | None = None,
) -> None:
    """Make the updates of an event in one trace, all or those with the ids, those of the event in
    another."""
    which = [
        patches.c.project == project,
        patches.c.event_id == event_id,
        patches.c.trace_id == old,
    ]
    if ids is not None:
        which.append(transaction.database.among(patches.c.id, ids))
    transaction.connection.execute(update(patches).where(*which).values(trace_id=new))


def apply(transaction: Transaction, project: str, ids: Collection[str]) -> None:
    """Write the spans with these event ids or span ids with their patches.

    A patch that waited for its event becomes one of the trace that has got it first: an id that is
    unique within its trace alone may come in another one later. A span whose patches cannot be
    applied is kept as it is, and the log names it: what is stored of one span must not refuse the
    writes of others.
    """
    known = _Patches(transaction, project)
    known.look_up(ids)
    if not known.of:
        return
    known.check_size(transaction.reader.sizes)
    event_ids = {event_id for _, event_id in known.of}
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
    known.bind(found.values())
    known.check_whole_size(found.values(), transaction.reader.sizes)
    _rewrite(transaction, project, found.values(), known)
    known.merge(found.values())


class _Patches:
    """Patches by whose they are: (trace id, id of the event or the span), with the trace id "" for
    an event that has not come."""

    def __init__(self, transaction: Transaction, project: str) -> None:
        self._transaction = transaction
        self._project = project
        self._asked: set[str] = set()
        self.of: dict[tuple[str, str], list[Any]] = {}
        self._read: dict[Any, Patch] = {}  # by id: large JSON is read once

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

    def check_size(self, sizes: EventSizes) -> None:
        """Refuse an update with which those of an event are too large: every update of it reads
        all of them."""
        for (_, event_id), found in self.of.items():
            if any(self._transaction.is_own(row.sequence) for row in found):
                size = sum(len(row.body) for row in found)
                sizes.note(self._project, event_id, size)
                sizes.check_updates(size)

    def check_whole_size(self, found: Iterable[Any], sizes: EventSizes) -> None:
        """Refuse an update with which an event, with what was sent, is too large."""
        for row in found:
            sent = 0
            updates = self._of_span(row)
            if any(self._transaction.is_own(patch.sequence) for patch in updates):
                with suppress(errors.SpanloomError):  # what is damaged has no size
                    sent = len(message_of(row))
                size = sent + sum(len(patch.body) for patch in updates)
                for event_id in {row.event_id, row.span_id}:
                    sizes.note(self._project, event_id, size)
                sizes.check(size)

    def _of_span(self, row: Any) -> list[Any]:
        ids = {row.event_id, row.span_id}
        return [patch for one in ids for patch in self.of.get((row.trace_id, one), ())]

    def bind(self, found: Iterable[Any]) -> None:
        """Make the patches that waited for an event, and may be applied to it, those of the trace
        that has got it first."""
        for row in sorted(found, key=lambda row: int(row.span_version)):
            waiting = self.of.pop(("", row.event_id), [])
            taken = [patch for patch in waiting if self._applies(self._patch(patch), row)]
            if left := [patch for patch in waiting if patch not in taken]:
                self.of["", row.event_id] = left
            if taken:
                self._transaction.may_change_others()
                ids = [patch.id for patch in taken]
                place = (self._project, row.event_id)
                move(self._transaction, *place, "", row.trace_id, ids)
                self.of.setdefault((row.trace_id, row.event_id), []).extend(taken)

    def _patch(self, row: Any) -> Patch:
        if row.id not in self._read:
            self._read[row.id] = orjson.loads(row.body)
        return self._read[row.id]

    def _applies(self, patch: Patch, row: Any) -> bool:
        """Whether a patch may be applied to a span, or only to those of another adapter."""
        if _ADAPTER not in patch:
            return True
        adapter = row.base_adapter or self._transaction.reader.to_base(row).sent.adapter
        return bool(patch[_ADAPTER] == adapter)

    def for_span(self, row: Any) -> dict[str, Any]:
        """What all patches of a span do, one after the other, as one patch; {} for none."""
        both = self._of_span(row)
        both.sort(key=lambda each: (each.sequence, each.id))
        each = map(self._patch, both)
        return joined(_without_adapter(patch) for patch in each if self._applies(patch, row))

    def merge(self, spans_of: Iterable[Any]) -> None:
        """Keep one patch in place of many, unless one under the other id of a span may be between
        them."""
        mixed: set[tuple[str, str]] = set()
        for row in spans_of:
            keys = {(row.trace_id, row.event_id), (row.trace_id, row.span_id)} & self.of.keys()
            if len(keys) > 1:
                mixed |= keys
        for (trace_id, event_id), found in self.of.items():
            size = sum(len(row.body) for row in found)
            is_large = len(found) > 1 and size > _MERGED_BYTES
            is_many = len(found) > _MOST_PATCHES
            if not (is_many or is_large) or (trace_id, event_id) in mixed:
                continue
            each = [self._patch(row) for row in found]
            if len({patch.get(_ADAPTER) for patch in each}) > 1:
                continue
            try:
                merged = rows.patch_row(self._project, event_id, joined(each), trace_id)
            except Exception:
                log.exception(_CANNOT, event_id, self._project)
                continue
            if is_many or 2 * len(merged[_BODY_AT]) < size:
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
    contents: Contents = {}
    for row in found:
        try:
            patch = known.for_span(row)
            if not patch:
                continue
            pieces, mark = patch.get(APPENDED, {}), None
            if pieces:
                mark = patch[APPENDED] = mark_of(row, pieces)
            before = Updates.of(row.updates) if row.updates else None
            if before and before.patch == patch:
                continue
            if mark:
                READ_FOR.set(project)
                base, kept, found_in = with_pieces(transaction.reader, row, pieces, mark)
                contents |= found_in
            else:
                base, kept = transaction.reader.to_base(row, updates=before), row[-3:]
            whole = patched(base, patch)
            updates = Updates.between(base, whole, patch).text()
            made = rows.updated_rows(project, kept, whole, updates)
            contents |= contents_in(updates)
        except Exception:
            log.exception(_CANNOT, row.event_id, project)
            continue
        if not transaction.is_own(row.span_version):
            transaction.may_change_others()
        span_rows += made.spans
        body_rows += made.bodies
        trace_rows += made.traces
    transaction.rewrite(
        {
            attachments: content_rows(project, contents),
            spans: span_rows,
            bodies: body_rows,
            traces: trace_rows,
        }
    )


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
