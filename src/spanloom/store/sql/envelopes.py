"""Deletes envelopes that no span has any more, beside writers.

Nothing counts the spans of an envelope: that would cost every write. All bodies are looked at in
parts, outside the writer's lock, and what none of them names may be deleted. Spans that are written
meanwhile, updates of older ones among them, have versions above those that were looked at: they are
looked at with the lock of all writers, in the transaction that deletes. A span that comes later
brings its envelope along.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from sqlalchemy import Connection, delete, select

from spanloom.store.sql.connections import Connections
from spanloom.store.sql.tables import bodies, envelopes
from spanloom.store.sql.transaction import Transaction

# Bodies that are looked at in one statement, and envelopes that are deleted in one transaction.
_BODIES = 10_000
_DELETED = 1_000


class Unused(NamedTuple):
    """Digests of envelopes that no span of a version below `limit` has."""

    digests: set[bytes]
    limit: int


async def delete_unused(connections: Connections) -> int:
    """Delete the envelopes that no span has; how many there were."""
    unused = await find_unused(connections)
    digests = sorted(unused.digests)
    number = 0
    for start in range(0, len(digests), _DELETED):
        some = Unused(set(digests[start : start + _DELETED]), unused.limit)
        number += await connections.write(partial(delete_still_unused, some), rows=0)
    return number


async def find_unused(connections: Connections) -> Unused:
    """Look at the spans that are committed."""
    read = connections.read
    digests = await read(lambda c: set(c.execute(select(envelopes.c.digest)).scalars()))
    limit = await connections.write(lambda transaction: transaction.first_version, rows=0)
    after: int | None = -1
    while digests and after is not None:
        of_part, after = await read(partial(_part, after, limit))
        digests -= of_part
    return Unused(digests, limit)


def _part(after: int, limit: int, connection: Connection) -> tuple[set[bytes], int | None]:
    """The digests of a part of the bodies, and its last version; None for the last part."""
    found = (
        select(bodies.c.span_version, bodies.c.envelope)
        .where(bodies.c.span_version > after, bodies.c.span_version < limit)
        .order_by(bodies.c.span_version)
        .limit(_BODIES)
    )
    rows = connection.execute(found).fetchall()
    return {row.envelope for row in rows}, rows[-1].span_version if len(rows) == _BODIES else None


def delete_still_unused(unused: Unused, transaction: Transaction) -> int:
    """Delete those that no newer span has either."""
    connection = transaction.connection
    newer = select(bodies.c.envelope).where(bodies.c.span_version >= unused.limit).distinct()
    digests = unused.digests - set(connection.execute(newer).scalars())
    if not digests:
        return 0
    gone = delete(envelopes).where(envelopes.c.digest.in_(digests))
    return connection.execute(gone).rowcount
