"""Pieces of a span's message that came apart from it, such as the log events of a span: the store
keeps them as updates, and appends them to what was sent whenever the span is written.

The message with its pieces is the base of the span's other updates. `bodies.updates` has the length
of what was sent and the digests of the pieces, so that a piece that comes later takes its place
among them.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping
from typing import Any

from spanloom.model import Json, Span
from spanloom.model.patch import APPENDED
from spanloom.store.sql.packing import Contents, packed
from spanloom.store.sql.reading import SpanReader, Updates, message_of

log = logging.getLogger("spanloom.store")

# The pieces of one span that are kept in its message, in bytes.
MOST_BYTES = 16 << 20


def mark_of(row: Any, pieces: Mapping[str, Json]) -> list[Json]:
    """What `bodies.updates` has of pieces: the length of the message without them, and their
    digests in the order of their times, those of one time as they came."""
    earlier = Updates.of(row.updates).patch.get(APPENDED) if row.updates else None
    length = earlier[0] if earlier else len(message_of(row))
    return [length, *sorted(pieces, key=lambda digest: int(pieces[digest][0]))]


def with_pieces(
    reader: SpanReader, row: Any, pieces: Mapping[str, Json], mark: list[Json]
) -> tuple[Span, list[Any], Contents]:
    """The span that the message with its pieces makes, what `bodies` has of it (adapter, sent and
    envelope), and its attachments. `row` is one of `select_whole` with `base_envelope`, of a span
    with a message."""
    length, *digests = mark
    parts = [message_of(row)[:length]]
    left = MOST_BYTES
    for digest in digests:
        piece = base64.b64decode(pieces[digest][1])
        left -= len(piece)
        if left < 0:
            log.warning("the span %r has too many pieces: the last are left out", row.span_id)
            break
        parts.append(piece)
    message = b"".join(parts)
    span = reader.reread(row.adapter, message, row.content or b"", reader.to_base(row))
    [sent], contents = packed([message])
    return span, [row.adapter, sent, row.base_envelope], contents
