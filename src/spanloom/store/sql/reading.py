"""From rows of spans and their bodies to spans: what was sent, restored by its adapter."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Select, select

from spanloom import errors
from spanloom.codec import large_json
from spanloom.model import Span
from spanloom.model.patch import Patch, patched
from spanloom.model.span import DAMAGED, Io
from spanloom.store.spans import Restore
from spanloom.store.sql import attachments, rows, tables
from spanloom.store.sql.bodies import body_of, parts_of
from spanloom.store.sql.event_sizes import EventSizes
from spanloom.store.sql.lift import lifted

log = logging.getLogger("spanloom.store")

# What is read, in the order in which the functions below take it.
NOT_OF_SPANS = ("project", "version", "agent_version", "reader", "apart", "sequence")
SPAN_NAMES = [c.name for c in tables.spans.c if c.name not in NOT_OF_SPANS]
BODY_COLUMNS = [
    tables.bodies.c.adapter,
    tables.bodies.c.sent,
    tables.envelopes.c.content,
    tables.bodies.c.updates,
]
# So many levels of a large body are read a member a step: its parts, and their fields.
_BODY_LEVELS = 2
NOTHING: Mapping[str, Any] = {}
_DAMAGE = "what was sent of this span is damaged in the database"
_BEFORE = "before"


def select_whole(
    found: Select[Any],
    order: Sequence[str],
    *,
    limit: int | None = None,
    offset: int = 0,
    also: Sequence[str] = (),
) -> Select[Any]:
    """What `to_span` takes, of the rows of `spans` that a statement finds: of a page of them no
    other's body is touched. `order` are names of columns, with "-" before those from high to
    low; `also` are those of columns that follow what `to_span` takes."""
    if limit is not None:
        found = found.order_by(*ordered(tables.spans.c, order)).limit(limit).offset(offset)
    narrow = found.subquery("found")
    # Outer joins: a span whose body is lost is an error, and not a span that was never there.
    kept = narrow.outerjoin(
        tables.bodies, tables.bodies.c.span_version == narrow.c.version
    ).outerjoin(
        tables.envelopes,
        (tables.envelopes.c.project == narrow.c.project)
        & (tables.envelopes.c.digest == tables.bodies.c.envelope),
    )
    version = narrow.c.version.label("span_version")
    has_envelope = tables.bodies.c.envelope.is_not(None).label("has_envelope")
    columns = (narrow.c[name] for name in SPAN_NAMES)
    sequence = narrow.c.sequence.label("span_sequence")
    others = (narrow.c[name] for name in also)
    return (
        select(*columns, *BODY_COLUMNS, version, has_envelope, sequence, *others)
        .select_from(kept)
        .order_by(*ordered(narrow.c, order))
    )


def ordered(columns: Any, order: Sequence[str]) -> list[Any]:
    """The columns of an order, as of `select_whole`."""
    return [columns[name[1:]].desc() if name.startswith("-") else columns[name] for name in order]


class SpanReader:
    """Makes spans of rows.

    Args:
        restore, reread: as of `Store.open`.
        most_bytes: of a span with its updates; a writer refuses more.
    """

    def __init__(
        self, restore: Restore, reread: Restore | None = None, most_bytes: int = 8 << 20
    ) -> None:
        self.sizes = EventSizes(most_bytes)
        self._restore = restore
        self.reread = reread or no_adapter

    def to_span(self, row: Sequence[Any]) -> Span:
        """From a row of `select_whole`, with its updates. DATA_LOSS where it is damaged."""
        span = self.to_base(row)
        return patched(span, Updates.of(row[21]).patch) if row[21] else span

    def shown(self, row: Sequence[Any]) -> Span:
        """The same for a reader of many spans, who is not to lose the others: a damaged span is
        what its columns say, with an error in place of its own, and DAMAGED in place of `sent`."""
        try:
            return self.to_span(row)
        except errors.SpanloomError as error:
            if error.code != errors.Code.DATA_LOSS:
                raise
        span = from_columns(row)
        span.version = row[22]
        span.io, span.sent = Io(error=_DAMAGE), DAMAGED
        return span

    def to_base(
        self,
        row: Sequence[Any],
        restore: Restore | None = None,
        updates: Updates | None = None,
    ) -> Span:
        """The same as it was before its updates; by another `restore` if one is given.

        Args:
            updates: Those of the row, where they have been read already.
        """
        adapter, sent = row[18], message_of(row)
        try:
            before = NOTHING
            if row[21]:
                before = (updates or Updates.of(row[21])).before
            if not adapter:
                span = _to_span(row, sent, before)
            else:
                columns = _from_columns(row, {})
                for name, value in before.items():
                    setattr(columns, name, value)
                span = (restore or self._restore)(adapter, sent, row[20] or b"", columns)
        except NotImplementedError:  # of `no_adapter`: a mistake in the program
            raise
        except Exception as error:
            raise _damage(row) from error
        span.version, span.sequence = row[22], row[24]
        span.size = len(sent) + len(row[21] or "")
        return span

    def to_text(self, row: Sequence[Any]) -> bytes:
        """The JSON of the span's body."""
        if row[18] or row[21]:
            return rows.json_bytes(body_of(self.to_span(row)))
        return message_of(row)


def message_of(row: Sequence[Any]) -> bytes:
    """What was sent, from a row of `select_whole`. DATA_LOSS where it, or what it shares with
    others, is not there whole."""
    try:
        if row[19] is None or (row[20] is None and row[23]):
            raise LookupError("a row of the tables `bodies` or `envelopes` is missing")
        return attachments.message(row[19], row[22])
    except NotImplementedError:  # of `attachments`: a mistake in the program
        raise
    except Exception as error:
        raise _damage(row) from error


def _damage(row: Sequence[Any]) -> errors.SpanloomError:
    """The error that names the span, in place of what its decoder says; the log has that."""
    log.exception("the span %r of the trace %r is damaged", row[1], row[0])
    return errors.span_damaged(row[0], row[1])


class Updates(NamedTuple):
    """What `bodies.updates` holds: the updates of a span as one patch, and the columns that they
    changed as they were before. So updates one by one give what all at once give: what follows
    from a column, such as an end from a duration, follows from what was sent."""

    patch: Patch
    before: Mapping[str, Any]

    @classmethod
    def between(cls, base: Span, whole: Span, patch: Patch) -> Updates:
        """The updates that made one span of another."""
        both = ((str(name), getattr(base, name), getattr(whole, name)) for name in SPAN_NAMES)
        return cls(patch, {name: before for name, before, after in both if before != after})

    @classmethod
    def of(cls, text: str) -> Updates:
        """From what `text` returned."""
        patch = orjson.loads(text)
        return cls(patch, patch.pop(_BEFORE, NOTHING))

    def text(self) -> str:
        """The patch, with the columns under a name that no patch has."""
        return rows.json_text({**self.patch, _BEFORE: self.before} if self.before else self.patch)


def no_adapter(adapter: str, message: bytes, envelope: bytes, columns: Span) -> Span:
    """What a store that was opened without adapters restores: nothing."""
    raise NotImplementedError(f"the store was opened without the adapter {adapter!r}")


def _to_span(row: Sequence[Any], json: bytes, before: Mapping[str, Any]) -> Span:
    if len(json) < large_json.LARGE:
        body = orjson.loads(json)
    else:
        body = large_json.loads(json.decode(), levels=_BODY_LEVELS)
    if "sent" not in body:
        body = lifted(body, row[0], row[1], row[7])
    span = _from_columns(row, parts_of(body))
    for name, value in before.items():
        setattr(span, name, value)
    return span


def from_columns(row: Sequence[Any]) -> Span:
    """A span with its columns alone, from a row that begins with SPAN_NAMES."""
    return _from_columns(row, {})


def _from_columns(row: Sequence[Any], parts: Mapping[str, Any]) -> Span:
    return Span(
        trace_id=row[0],
        span_id=row[1],
        event_id=row[2],
        session_id=row[3],
        parent_id=row[4],
        name=row[5],
        kind=row[6],
        operation=row[7],
        start_ns=row[8],
        end_ns=row[9],
        duration_ms=row[10],
        status=row[11],
        agent_name=row[12],
        provider=row[13],
        model=row[14],
        input_tokens=row[15],
        output_tokens=row[16],
        cost=row[17],
        **parts,
    )
