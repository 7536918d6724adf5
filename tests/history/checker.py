"""Decides whether the recorded history of one object is linearizable: a pure function, which knows
no server.

The search goes through the history in time. It keeps every configuration in which the object may
be: a state, and which of the operations under way have taken effect. When an operation ends, it
must have taken effect in each configuration that is kept (just-in-time linearization, as Lowe
describes it in "Testing for linearizability", 2017). When none is left, the history has no
explanation, and the operation that ended is a violation; the search goes on without it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from tests.history.model import (
    EMPTY,
    Delete,
    Operation,
    Read,
    ReadFeedback,
    ReadItems,
    ReadResult,
    Replace,
    Seen,
    State,
    Update,
    written,
)

# A history that needs more configurations than this at one instant is not decided.
MOST_CONFIGURATIONS = 50_000

# The kinds of violations.
DUPLICATE = "an event is listed twice"
MIXTURE = "a trace is a mixture of versions"
UNWRITTEN = "a value is shown that no write of this history wrote"
RETURNED = "what was deleted is shown again"
LOST = "an acknowledged write is not shown"
LOST_UPDATE = "an acknowledged update is not shown"
STALE = "an older version is shown"
WRONG_SESSION = "an event is shown in a session that it left"
FEEDBACK = "feedback is lost, old, or shown after its deletion"
RESULT = "an evaluator's result is lost, or is of another version"
ANSWER = "a delete's answer contradicts what was there"


@dataclass(frozen=True, slots=True)
class Violation:
    """An operation that no order of the operations explains. `expected`: the nearest answer that
    one would explain.
    """

    kind: str
    operation: Operation
    expected: str


class UndecidedError(Exception):
    """The history of an object has too many explanations to try them all."""


Configuration = tuple[State, frozenset[int]]


def check(operations: Sequence[Operation], most: int = MOST_CONFIGURATIONS) -> list[Violation]:
    """The violations in the history of one object; UndecidedError past `most` configurations."""
    search = _Search(operations, most)
    violations = []
    for moment in search.moments():
        found = search.end(moment)
        if found is not None:
            violations.append(found)
    return violations


def states_before(operations: Sequence[Operation], time: int) -> set[State]:
    """The states in which the object may be when all operations that ended before the time have had
    their say.
    """
    ended = [one for one in operations if one.ended is not None and one.ended < time]
    begun = [one for one in operations if one not in ended and one.began < time]
    search = _Search([*ended, *(replace(one, ended=None) for one in begun)], MOST_CONFIGURATIONS)
    for moment in search.moments():
        search.end(moment)
    return {state for state, _ in search.configurations}


class _Search:
    def __init__(self, operations: Sequence[Operation], most: int) -> None:
        self._operations = _without_contended_answers(operations)
        self._most = most
        self._open: list[int] = []
        # Operations without an answer, which never end. Those of `_open` that are not here are
        # known to happen.
        self._unanswered = {n for n, one in enumerate(operations) if one.ended is None}
        self.configurations: set[Configuration] = {(EMPTY, frozenset())}
        self._steps: dict[tuple[State, int], tuple[State, ...]] = {}

    def moments(self) -> Iterator[int]:
        """Each operation that ends, when it ends; what begins meanwhile is opened. At one instant,
        beginnings are first.
        """
        began = [(one.began, 0, n) for n, one in enumerate(self._operations)]
        ended = [
            (one.ended, 1, n) for n, one in enumerate(self._operations) if one.ended is not None
        ]
        for _, is_end, number in sorted([*began, *ended]):
            if is_end:
                yield number
            else:
                self._open.append(number)

    def end(self, number: int) -> Violation | None:
        """Keep the configurations in which the operation has taken effect; the violation where
        there is none.
        """
        reached, kept = self._linearized(number)
        violation = None
        if kept:
            self._open.remove(number)
        else:
            operation = self._operations[number]
            violation = _violation(operation, reached, self._operations)
            kept = self.configurations
            if isinstance(operation.action, Read):
                self._open.remove(number)
            else:
                self._unanswered.add(number)
        self.configurations = self._least(kept)
        self._steps.clear()
        return violation

    def _linearized(self, number: int) -> tuple[set[State], set[Configuration]]:
        """All states that the object may be in before the operation ends, and the configurations in
        which it has happened.
        """
        kept: set[Configuration] = set()
        waiting = list(self.configurations)
        visited = set(waiting)
        while waiting:
            state, done = self._with_reads(*waiting.pop())
            if number in done:
                kept.add((state, done - {number}))
                continue
            for other in self._open:
                if other in done:
                    continue
                for after in self._step(state, other):
                    following = (after, done | {other})
                    if following not in visited:
                        visited.add(following)
                        waiting.append(following)
            if len(visited) > self._most:
                raise UndecidedError
        return {state for state, _ in visited}, kept

    def _with_reads(self, state: State, done: frozenset[int]) -> Configuration:
        """The configuration with every read under way that it explains: a read that changes nothing
        never waits in vain.
        """
        explained = [
            n
            for n in self._open
            if n not in done
            and isinstance(self._operations[n].action, Read)
            and self._step(state, n) == (state,)
        ]
        return state, done.union(explained)

    def _step(self, state: State, number: int) -> tuple[State, ...]:
        key = (state, number)
        if key not in self._steps:
            self._steps[key] = self._operations[number].action.apply(state)
        return self._steps[key]

    def _least(self, configurations: Iterable[Configuration]) -> set[Configuration]:
        """Without those that another one makes needless: the same, with fewer of the unanswered
        operations used up.
        """
        alike: dict[Configuration, list[frozenset[int]]] = {}
        for state, done in configurations:
            alike.setdefault((state, done - self._unanswered), []).append(done & self._unanswered)
        return {
            (state, known | used)
            for (state, known), choices in alike.items()
            for used in choices
            if not any(other < used for other in choices)
        }


def _without_contended_answers(operations: Sequence[Operation]) -> list[Operation]:
    """The operations, where a delete's answer that it deleted says nothing if another delete
    overlaps it.
    """
    deletes = [one for one in operations if isinstance(one.action, Delete)]

    def is_contended(one: Operation) -> bool:
        return any(
            (one.ended is None or other.began <= one.ended)
            and (other.ended is None or one.began <= other.ended)
            for other in deletes
            if other is not one
        )

    return [
        replace(one, action=replace(one.action, found=None))
        if isinstance(one.action, Delete) and one.action.found and is_contended(one)
        else one
        for one in operations
    ]


def _violation(
    operation: Operation, reached: set[State], history: Sequence[Operation]
) -> Violation:
    action = operation.action
    if isinstance(action, ReadItems):
        return _items_violation(operation, action, reached, history)
    if isinstance(action, ReadFeedback):
        choices = {action.shown(state) for state in reached}
        nearest = min(choices, key=lambda shown: (len({*shown} ^ {*action.seen}), shown))
        return Violation(FEEDBACK, operation, repr(nearest))
    if isinstance(action, ReadResult):
        versions = sorted({str(action.version(state)) for state in reached})
        return Violation(RESULT, operation, f"the result of one of {versions}")
    return Violation(ANSWER, operation, "the other answer")


def _items_violation(
    operation: Operation, read: ReadItems, reached: set[State], history: Sequence[Operation]
) -> Violation:
    actions = [one.action for one in history]
    choices = {read.shown(state) for state in reached}
    nearest = min(choices, key=lambda shown: (_distance(shown, read.seen), repr(shown)))
    return Violation(_kind(read, nearest, actions), operation, repr(nearest))


def _distance(one: Sequence[Seen], other: Sequence[Seen]) -> int:
    """How many values differ; an event that only one of them shows counts as more than all values
    of an event.
    """
    facts = [
        {(seen.id, n, fact) for seen in shown for n, fact in enumerate((seen.place, *seen.values))}
        for shown in (one, other)
    ]
    ids = [{seen.id for seen in shown} for shown in (one, other)]
    return len(facts[0] ^ facts[1]) + 10 * len(ids[0] ^ ids[1])


def _kind(read: ReadItems, nearest: Sequence[Seen], actions: Sequence[object]) -> str:
    """The kind of a violation, by how what was seen differs from the nearest answer that can be
    explained.
    """
    seen = {one.id: one for one in read.seen}
    expected = {one.id: one for one in nearest}
    values = {value for one in read.seen for value in one.values if value is not None}
    if len(seen) < len(read.seen):
        return DUPLICATE
    if values - written(actions):  # type: ignore[arg-type]
        return UNWRITTEN
    if _is_mixture(read, actions):
        return MIXTURE
    if seen.keys() - expected.keys():
        was_deleted = any(isinstance(action, Delete) for action in actions)
        return RETURNED if was_deleted else STALE
    if expected.keys() - seen.keys():
        return LOST
    updates = {
        (action.item, value)
        for action in actions
        if isinstance(action, Update)
        for _, value in action.values
    }
    kinds = set()
    for item, shown in seen.items():
        for got, wanted in zip(shown.values, expected[item].values, strict=True):
            if got != wanted:
                is_update = (item, wanted) in updates or (item, got) in updates
                kinds.add(LOST_UPDATE if is_update else STALE)
    if LOST_UPDATE in kinds:
        return LOST_UPDATE
    return STALE if kinds else WRONG_SESSION


def _is_mixture(read: ReadItems, actions: Sequence[object]) -> bool:
    """Whether spans of a trace that is sent as a whole come from several versions, or are a part of
    one.
    """
    versions = {action.marker: action for action in actions if isinstance(action, Replace)}
    shown = {value for one in read.seen for value in one.values if value in versions}
    ids = {one.id for one in read.seen}
    return len(shown) > 1 or any(
        read.id is None and ids != set(version.items)
        for marker, version in versions.items()
        if marker in shown
    )
