"""Finished views of large traces, kept for as long as the trace does not change.

A view is read again and again while somebody looks at a trace, and making it takes time for each
span. Whether a trace has changed is told by the versions of its spans alone, so a view that is kept
is never an older state than the store has, whichever process wrote last.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple, TypeVar, cast

from google.protobuf.message import Message

from spanloom.codec.offload import run_in_thread_if_large
from spanloom.model import Span
from spanloom.store.spans import SpanStore

M = TypeVar("M", bound=Message)

# Views of smaller traces are made about as fast as versions are compared.
_FEWEST_SPANS = 100
# Of all views together, and of one, in bytes of their messages.
_MOST_BYTES = 32 << 20
_LARGEST = 8 << 20


class _View(NamedTuple):
    versions: bytes
    message: Message
    size: int


class TraceViews:
    """The views of one worker; those that were not read for the longest time are dropped first."""

    def __init__(self, store: SpanStore) -> None:
        self._store = store
        self._views: OrderedDict[tuple[str, str, bytes], _View] = OrderedDict()
        self._size = 0

    async def get(
        self, project: str, trace_id: str, view: bytes, make: Callable[[list[Span]], M]
    ) -> M | None:
        """A view of a trace, None if the trace is unknown. The caller must not change it.

        Args:
            view: Tells the views of one trace from each other.
            make: Makes the view of the trace's spans, which are the caller's own. It may run in a
                thread.
        """
        key = project, trace_id, view
        if key in self._views:
            versions = _packed(await self._store.trace_versions(project, trace_id))
            kept = self._views.get(key)
            if kept is not None and kept.versions == versions:
                self._views.move_to_end(key)
                return cast(M, kept.message)
        spans = await self._store.trace_spans(project, trace_id)
        if not spans:
            self._drop(key)
            return None
        number = len(spans)
        versions = _packed(sorted(span.version for span in spans))
        message = await run_in_thread_if_large(number, partial(make, spans))
        if number >= _FEWEST_SPANS:
            self._keep(key, _View(versions, message, message.ByteSize() + len(versions)))
        return message

    def _keep(self, key: tuple[str, str, bytes], view: _View) -> None:
        self._drop(key)
        if view.size > _LARGEST:
            return
        self._views[key] = view
        self._size += view.size
        while self._size > _MOST_BYTES:
            self._drop(next(iter(self._views)))

    def _drop(self, key: tuple[str, str, bytes]) -> None:
        if (dropped := self._views.pop(key, None)) is not None:
            self._size -= dropped.size


def _packed(versions: Iterable[int]) -> bytes:
    return array("q", versions).tobytes()
