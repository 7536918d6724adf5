"""What Spanloom promises about writes and reads, as a model that a recorded history has to agree
with.

The promise in one sentence: every object is linearizable. Each acknowledged operation takes effect
at one instant between its invocation and its answer, and every read shows the effects of exactly
the operations whose instants are before its own. An object is what can be written together: a group
of events that share sessions, or one trace. In particular:

- Durable: an acknowledged write survives kill -9 of one process or of all of them, at any moment.
- Read-your-writes and monotonic reads across processes: a read sees every write that was
  acknowledged before the read began, and everything that a read which ended before saw, whichever
  servers, workers and transports were used.
- The last committed write wins: a write that began after another one was acknowledged wins over it,
  whatever the clocks of the servers say. Writes that overlap in time may be in either order, but
  every reader sees the same order.
- An operation without an answer (the process was killed, the deadline was exceeded, the server
  answered UNAVAILABLE) may have happened, may happen later, or may never happen; it happens at most
  once, and as a whole.
- A refused operation changes nothing. The one liberty: where a delete answers NOT_FOUND, updates
  and feedback that waited for the absent event may be deleted or kept.

What the operations do:

- Creating an event replaces what earlier creates of this event id said, and nothing of what updates
  said. An event is in one session at a time and is never listed twice: created again with another
  session id, it moves.
- A batch is atomic: no read shows a part of it, and a crash leaves all of it or nothing.
- An update merges `metadata` and `metrics` key by key (null removes a key) and replaces `outputs`.
  It is kept when the event is created again, also when the update came before the event. One update
  is atomic.
- A span that is exported by OTLP replaces the span with its trace id and span id. The spans of one
  request need not become visible together. Updates of its event persist over it as over creates.
- A trace that is sent again with its id replaces the earlier version as a whole: no read shows a
  mixture of two versions. Updates and the feedback of people are kept; the results of evaluators
  are deleted with the version that they judged.
- An evaluator's result becomes visible some time after its trace was sent. It is always the result
  of the current version, it stays until the trace is sent again or deleted, and it is not lost:
  once nothing is written any more, it comes.
- Deleting an event, a session or a trace deletes its spans, the updates of their events and the
  feedback on them, as one step. Feedback on the conversation is deleted with the session; where
  only the trace is deleted, it may be deleted or kept. What was deleted stays deleted until
  something that is later than the delete, or overlaps it, writes it again. A delete answers
  NOT_FOUND exactly where nothing is there; but of deletes that overlap, each may answer that it
  deleted.
- Feedback with an id replaces feedback with this id, and is kept until it or its target is deleted;
  its target need not be there.

Every write carries a marker that no other write has, so that a read tells which writes it saw.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

# An event's or span's fields as the model knows them: each is sent with the marker of its write.
INPUT, METADATA, METRIC, OUTPUT = "input", "metadata", "metric", "output"

# What feedback is about: ("span" | "trace" | "conversation", id).
Target = tuple[str, str]
# A marker; None where an update removed the field.
Value = str | None


class Item(NamedTuple):
    """An event or span as it was created last; `place` is its session or trace."""

    id: str
    place: str
    marker: str


class Updated(NamedTuple):
    """What updates say of one field of an event."""

    item: str
    field: str
    value: Value


class Given(NamedTuple):
    """Feedback."""

    id: str
    target: Target
    marker: str


class State(NamedTuple):
    """One object at one instant. `judged`: the traces whose present version has the evaluator's
    result.
    """

    items: frozenset[Item] = frozenset()
    updates: frozenset[Updated] = frozenset()
    feedback: frozenset[Given] = frozenset()
    judged: frozenset[str] = frozenset()


EMPTY = State()


class Seen(NamedTuple):
    """An event or span as a read shows it; `values` by the order of the read's fields."""

    id: str
    place: str
    values: tuple[Value, ...]


def in_order(seen: Iterable[Seen]) -> tuple[Seen, ...]:
    """What a read shows, sorted."""
    return tuple(sorted(seen, key=lambda s: (s.id, s.place, [value or "" for value in s.values])))


@dataclass(frozen=True, slots=True)
class Create:
    """Creates events, or exports spans: (id, place) of each."""

    marker: str
    items: tuple[tuple[str, str], ...]

    def apply(self, state: State) -> tuple[State, ...]:
        ids = {item for item, _ in self.items}
        kept = {item for item in state.items if item.id not in ids}
        created = {Item(item, place, self.marker) for item, place in self.items}
        return (state._replace(items=frozenset(kept | created)),)


@dataclass(frozen=True, slots=True)
class Replace:
    """Sends a trace with all its spans."""

    marker: str
    place: str
    items: tuple[str, ...]

    def apply(self, state: State) -> tuple[State, ...]:
        kept = {item for item in state.items if item.place != self.place}
        sent = {Item(item, self.place, self.marker) for item in self.items}
        items = frozenset(kept | sent)
        return (state._replace(items=items, judged=state.judged - {self.place}),)


@dataclass(frozen=True, slots=True)
class Update:
    """Updates fields of an event, which need not be there."""

    item: str
    values: tuple[tuple[str, Value], ...]

    def apply(self, state: State) -> tuple[State, ...]:
        fields = {field for field, _ in self.values}
        kept = {u for u in state.updates if u.item != self.item or u.field not in fields}
        updated = {Updated(self.item, field, value) for field, value in self.values}
        return (state._replace(updates=frozenset(kept | updated)),)


@dataclass(frozen=True, slots=True)
class Delete:
    """Deletes an "event", "session" or "trace". `found`: whether the answer says that it was there;
    None without an answer.
    """

    kind: str
    id: str
    found: bool | None

    def apply(self, state: State) -> tuple[State, ...]:
        deleted = {i for i in state.items if self.id == (i.id if self.kind == "event" else i.place)}
        if self.found is not None and self.found != bool(deleted):
            return ()
        kept = state.items - deleted
        ids = {item.id for item in deleted}
        emptied = {item.place for item in deleted} - {item.place for item in kept}
        if not deleted:
            (ids if self.kind == "event" else emptied).add(self.id)
        elif self.kind == "session":
            ids.add(self.id)  # its own updates, also where it has no row
        targets = {("span", item) for item in ids} | {("trace", place) for place in emptied}
        about_session = ("conversation", self.id)
        if self.kind == "session":
            targets.add(about_session)
        after = State(
            kept,
            frozenset(u for u in state.updates if u.item not in ids),
            frozenset(f for f in state.feedback if f.target not in targets),
            state.judged - emptied,
        )
        possible = [after] if deleted else [state, after]
        if self.kind == "trace":
            # Updates of what was in the trace before, and is not now, are deleted with the trace if
            # they came while it was there; others wait for it in any trace.
            for item in {u.item for u in after.updates} - {i.id for i in kept}:
                possible += [
                    one._replace(updates=frozenset(u for u in one.updates if u.item != item))
                    for one in possible
                ]
            if deleted:
                possible += [
                    one._replace(
                        feedback=frozenset(f for f in one.feedback if f.target != about_session)
                    )
                    for one in possible
                ]
        return tuple(dict.fromkeys(possible))


@dataclass(frozen=True, slots=True)
class GiveFeedback:
    """Stores feedback under an id."""

    id: str
    target: Target
    marker: str

    def apply(self, state: State) -> tuple[State, ...]:
        kept = {given for given in state.feedback if given.id != self.id}
        given = Given(self.id, self.target, self.marker)
        return (state._replace(feedback=frozenset(kept | {given})),)


@dataclass(frozen=True, slots=True)
class ReadItems:
    """Reads the events or spans with this `id`, or in this `place`, or all; `seen` is as `in_order`
    sorts it.
    """

    fields: tuple[str, ...]
    seen: tuple[Seen, ...]
    id: str | None = None
    place: str | None = None

    def apply(self, state: State) -> tuple[State, ...]:
        return (state,) if self.shown(state) == self.seen else ()

    def shown(self, state: State) -> tuple[Seen, ...]:
        """What this read shows of a state."""
        updates = {(u.item, u.field): u.value for u in state.updates}
        return in_order(
            Seen(
                item.id,
                item.place,
                tuple(updates.get((item.id, field), item.marker) for field in self.fields),
            )
            for item in state.items
            if self.id in (None, item.id) and self.place in (None, item.place)
        )


@dataclass(frozen=True, slots=True)
class ReadFeedback:
    """Reads the feedback on a target, (id, marker) of each; `seen` is sorted."""

    target: Target
    seen: tuple[tuple[str, str], ...]

    def apply(self, state: State) -> tuple[State, ...]:
        return (state,) if self.shown(state) == self.seen else ()

    def shown(self, state: State) -> tuple[tuple[str, str], ...]:
        """What this read shows of a state."""
        return tuple(sorted((f.id, f.marker) for f in state.feedback if f.target == self.target))


@dataclass(frozen=True, slots=True)
class ReadResult:
    """Reads the evaluator's result on a trace: the marker of the version that it judged, None for
    no result.

    `settled`: it was waited for, long after the last write.
    """

    place: str
    seen: str | None
    settled: bool = False

    def apply(self, state: State) -> tuple[State, ...]:
        version = self.version(state)
        if self.seen is None:
            due = self.settled or self.place in state.judged
            return () if due and version is not None else (state,)
        if self.seen != version:
            return ()
        return (state._replace(judged=state.judged | {self.place}),)

    def version(self, state: State) -> str | None:
        """The marker of the trace's present version, which its root carries."""
        return next((item.marker for item in state.items if item.id == self.place), None)


Write = Create | Replace | Update | Delete | GiveFeedback
Read = ReadItems | ReadFeedback | ReadResult
Action = Write | Read


@dataclass(frozen=True, slots=True)
class Operation:
    """One recorded operation. Times are nanoseconds of one monotonic clock; `ended` is None where
    no answer came.

    `by` says who asked whom, for people.
    """

    began: int
    ended: int | None
    action: Action
    by: str = ""


def written(actions: Iterable[Action]) -> frozenset[str]:
    """All markers that the writes among the actions carry."""
    found: set[str] = set()
    for action in actions:
        if isinstance(action, Create | Replace | GiveFeedback):
            found.add(action.marker)
        elif isinstance(action, Update):
            found.update(value for _, value in action.values if value is not None)
    return frozenset(found)
