"""What a store must hold after any writes, updates and deletions, as plain Python: dictionaries,
and no index, trigger or version."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from spanloom.model import Span
from spanloom.model.patch import Patch, joined, patched

Key = tuple[str, str]  # of a span: its trace id and its span id


class AmbiguousError(Exception):
    """Several traces have the event."""


class _Update(NamedTuple):
    """An update of an event or a span in a trace; "" for an event that has not come."""

    trace_id: str
    event_id: str
    patch: Patch


class PlainModel:
    """One project: spans as they were written, the last one last, and updates in their order."""

    def __init__(self) -> None:
        self._written: dict[Key, Span] = {}
        self._updates: list[_Update] = []
        self._sequences: dict[Key, int] = {}  # when each was first written
        self._next = 0

    # Writes

    def write(self, spans: Iterable[Span], *, events: bool = False) -> None:
        for span in spans:
            if events:
                moved = [
                    key
                    for key, of in self._written.items()
                    if of.event_id == of.span_id == span.event_id and key[0] != span.trace_id
                ]
                for key in moved:
                    self._remove(key)
                    self._bind(span.event_id, key[0], span.trace_id)
            key = (span.trace_id, span.span_id)
            self._written.pop(key, None)
            self._written[key] = span
            self._next += 1
            self._sequences.setdefault(key, self._next)
        for span in self._written.values():
            self._bind(span.event_id, "", span.trace_id)

    def _remove(self, key: Key) -> Span:
        del self._sequences[key]
        return self._written.pop(key)

    def _bind(self, event_id: str, old: str, new: str) -> None:
        """Make the updates of an event in one trace those of it in another."""
        self._updates = [
            of._replace(trace_id=new) if of[:2] == (old, event_id) else of for of in self._updates
        ]

    def replace(self, trace_id: str, spans: Iterable[Span]) -> None:
        for key in [key for key in self._written if key[0] == trace_id]:
            self._remove(key)
        self.write(spans)

    def start_session(self, span: Span, again: Patch) -> bool:
        if any(of.event_id == span.event_id for of in self.trace(span.trace_id)):
            self.update_event(span.event_id, again, span.trace_id)
            return False
        self.write([span])
        return True

    def update_event(self, event_id: str, patch: Patch, trace_id: str = "") -> None:
        trace_id = trace_id or self._trace_with(event_id)
        self._updates.append(_Update(trace_id, event_id, patch))

    def _trace_with(self, event_id: str) -> str:
        having = {of.trace_id for of in self._written.values() if of.event_id == event_id}
        if len(having) > 1:
            raise AmbiguousError
        return next(iter(having), "")

    def update_span(self, key: Key, patch: Patch) -> None:
        self._updates.append(_Update(*key, patch))

    # Deletions

    def delete_event(self, event_id: str, trace_id: str = "") -> bool:
        trace_id = trace_id or self._trace_with(event_id)
        return self._delete(
            [
                key
                for key, of in self._written.items()
                if of.event_id == event_id and of.trace_id == trace_id
            ]
        )

    def delete_trace(self, trace_id: str) -> bool:
        found = [key for key in self._written if key[0] == trace_id]
        if not self._delete(found):
            return False
        self._updates = [of for of in self._updates if of.trace_id != trace_id]
        return True

    def delete_spans(self, keys: Collection[Key]) -> int:
        found = [key for key in self._written if key in keys]
        self._delete(found)
        self._updates = [of for of in self._updates if (of.trace_id, of.event_id) not in keys]
        return len(found)

    def delete_session(self, session_id: str) -> bool:
        of_session = [(span.trace_id, span.span_id) for span in self.session(session_id)]
        if not (self._delete(of_session) or self.delete_trace(session_id)):
            return False
        if not self.event(session_id):
            self._updates = [of for of in self._updates if of[:2] != ("", session_id)]
        return True

    def _delete(self, keys: Sequence[Key]) -> bool:
        gone = [self._remove(key) for key in keys]
        under = {(of.trace_id, one) for of in gone for one in (of.event_id, of.span_id)}
        self._updates = [of for of in self._updates if of[:2] not in under]
        return bool(keys)

    # Reads

    def spans(self) -> dict[Key, Span]:
        """All spans with their updates."""
        return {key: self._updated(key, of) for key, of in self._written.items()}

    def _updated(self, key: Key, span: Span) -> Span:
        own = ((span.trace_id, span.event_id), key)
        of_span = [of.patch for of in self._updates if of[:2] in own]
        return patched(span, joined(of_span)) if of_span else span

    def trace(self, trace_id: str) -> list[Span]:
        found = [span for span in self.spans().values() if span.trace_id == trace_id]
        return sorted(found, key=self._place)

    def _place(self, span: Span) -> tuple[int, int]:
        """The order of all lists."""
        return span.start_ns, self._sequences[span.trace_id, span.span_id]

    def event(self, event_id: str) -> list[Span]:
        """All spans with an event id; the store gives one of them."""
        return [span for span in self.spans().values() if span.event_id == event_id]

    def events(self) -> list[Span]:
        """In the order of lists of events."""
        return self.in_order()[::-1]

    def in_order(self) -> list[Span]:
        return sorted(self.spans().values(), key=self._place)

    def session(self, session_id: str) -> list[Span]:
        traces: defaultdict[str, list[Span]] = defaultdict(list)
        for span in self.spans().values():
            traces[span.trace_id].append(span)
        found = [
            span
            for of_trace in traces.values()
            for span in of_trace
            if _belongs(span, of_trace, session_id)
        ]
        return sorted(found, key=self._place)


def _belongs(span: Span, of_trace: Sequence[Span], session_id: str) -> bool:
    """As the contract of the store says it (`SpanStore`)."""
    naming = [of for of in of_trace if of.session_id != of.trace_id]
    roots = {of.session_id for of in naming if not of.parent_id}
    if roots == {session_id}:
        return True
    if span.session_id != span.trace_id:
        return span.session_id == session_id
    if not naming:
        return session_id == span.trace_id
    first = min(naming, key=lambda of: (bool(of.parent_id), of.start_ns, of.span_id))
    return first.session_id == session_id
