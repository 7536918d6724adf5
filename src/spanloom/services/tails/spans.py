"""The tail of spans: responses of SpanService.TailSpans."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from spanloom.adapters.native.texts import shown_span
from spanloom.codec.offload import run_in_thread_if_large
from spanloom.model import Span
from spanloom.model.changes import StoredSpan, StoredSpans
from spanloom.services.queries.cursors import cursor
from spanloom.services.tails.follower import MOST_BYTES, MOST_SPANS
from spanloom.services.tails.group import Behind, Group, Piece
from spanloom.store.store import Store
from spanloom.v1 import span_service_pb2 as pb

METHOD: Final = "TailSpans"
# A response takes no further span once it is so large.
_LARGEST: Final = 48 << 10


class SpanGroup(Group):
    """Readers of the same spans.

    Args:
        meets: Whether a span is shown.
        basic, limit: As of `shown_span`.
    """

    def __init__(
        self, store: Store, project: str, meets: Callable[[Span], bool], *, basic: bool, limit: int
    ) -> None:
        super().__init__(project)
        self._log = store.summaries
        self._meets, self._basic, self._limit = meets, basic, limit

    async def take(self, part: StoredSpans) -> None:
        self.stored = self.stored.plus(part, self.project)
        if self.is_read:
            self.publish(await self._pieces(part), part.reached)
        else:
            self.skip(part.reached)

    async def missed(self, position: int, stored: Behind) -> tuple[list[Piece], int, Behind]:
        part = await self._log.stored([self.project], position, limit=MOST_SPANS, size=MOST_BYTES)
        return await self._pieces(part), part.reached, stored.plus(part, self.project)

    def response(self, position: int) -> pb.TailSpansResponse:
        return pb.TailSpansResponse(cursor=cursor(METHOD, self.project, position, time.time_ns()))

    def without(self, piece: Piece, position: int) -> pb.TailSpansResponse:
        [whole] = piece.responses
        kept = [
            span
            for version, span in zip(piece.places, whole.spans, strict=True)
            if version > position
        ]
        return pb.TailSpansResponse(spans=kept, cursor=whole.cursor)

    async def _pieces(self, part: StoredSpans) -> list[Piece]:
        own = [one for one in part.spans if one.project == self.project]
        if not own:
            return []
        return await run_in_thread_if_large(len(own), partial(self._made, own, part.reached))

    def _made(self, stored: Sequence[StoredSpan], reached: int) -> list[Piece]:
        pieces: list[Piece] = []
        response, places, size = pb.TailSpansResponse(), list[int](), 0

        def end(position: int) -> None:
            response.cursor = cursor(METHOD, self.project, position, time.time_ns())
            pieces.append(Piece(position, [response], size, places))

        for one in stored:
            span = one.span
            if not self._meets(span):
                continue
            message = shown_span(span, basic=self._basic, limit=self._limit)
            if places and size + message.ByteSize() > _LARGEST:
                end(places[-1])
                response, places, size = pb.TailSpansResponse(), [], 0
            response.spans.append(message)
            places.append(span.version)
            size += message.ByteSize()
        if places:
            end(reached)
        return pieces
