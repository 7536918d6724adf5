"""Spans without their contents, with the digests of what they share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import ColumnElement, Connection, select

from spanloom.model.placed import Placed, PlacedSpan
from spanloom.store.sql.tables import bodies, envelopes, spans

_COLUMNS: Final = PlacedSpan._fields[:-1]
_ENVELOPES: Final = 500  # that are read in one statement


def placed(
    connection: Connection,
    project: str,
    trace_id: str,
    where: Sequence[ColumnElement[bool]],
    limit: int,
) -> Placed:
    """The latest spans of a project that meet conditions on their columns, or some of a trace."""
    columns = (spans.c[name] for name in (*_COLUMNS, "version", "sequence"))
    chosen = select(*columns).where(spans.c.project == project, *where)
    if trace_id:  # in no order: PostgreSQL would look for the trace in all spans by start
        chosen = chosen.where(spans.c.trace_id == trace_id)
    else:
        chosen = chosen.order_by(spans.c.start_ns.desc(), spans.c.sequence.desc())
    narrow = chosen.limit(limit).subquery("placed")
    query = (
        select(*(narrow.c[name] for name in _COLUMNS), bodies.c.envelope)
        .select_from(narrow.outerjoin(bodies, bodies.c.span_version == narrow.c.version))
        .order_by(narrow.c.start_ns.desc(), narrow.c.sequence.desc())
    )
    found = [PlacedSpan._make(row) for row in connection.execute(query)]
    digests = list({span.envelope for span in found if span.envelope is not None})
    contents: dict[bytes, bytes] = {}
    for start in range(0, len(digests), _ENVELOPES):
        some = select(envelopes.c.digest, envelopes.c.content).where(
            envelopes.c.project == project,
            envelopes.c.digest.in_(digests[start : start + _ENVELOPES]),
        )
        contents |= {row.digest: row.content for row in connection.execute(some)}
    return Placed(found, contents)


def shared(connection: Connection, project: str, limit: int) -> list[bytes]:
    """What spans of a project share, at most `limit`."""
    found = select(envelopes.c.content).where(envelopes.c.project == project).limit(limit)
    return list(connection.execute(found).scalars())
