"""What a run did and found, and how a history is written for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from tests.history.checker import (
    DUPLICATE,
    FEEDBACK,
    LOST,
    LOST_UPDATE,
    MIXTURE,
    STALE,
    UNWRITTEN,
    UndecidedError,
    Violation,
    check,
    states_before,
)
from tests.history.minimal import minimal, narrowed
from tests.history.model import Delete, Operation, Read, ReadFeedback, ReadItems, written

_EXAMPLES_OF_A_KIND = 2
# Kinds that are about several events or spans; other kinds are named by what a single one shows.
_OF_SEVERAL = (DUPLICATE, MIXTURE, UNWRITTEN)
# Kinds that say that an acknowledged write is not kept.
LOSSES = (LOST, LOST_UPDATE, STALE, FEEDBACK)
_STATES_SHOWN = 4
_FAULTS_SHOWN = 10


@dataclass
class Report:
    """What a run did and found. `faults`: valid calls that were refused; `examples`: minimal
    histories of violations.
    """

    seed: int
    objects: int = 0
    operations: int = 0
    reads: int = 0
    acknowledged: int = 0
    unanswered: int = 0
    undecided: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    overloads: list[str] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    violations: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    @property
    def is_clean(self) -> bool:
        """Whether every history was explained, and every valid call accepted."""
        return not (self.violations or self.faults or self.undecided)

    @property
    def lost(self) -> int:
        """Reads that miss an acknowledged write."""
        return sum(self.violations[kind] for kind in LOSSES)

    @property
    def doubled(self) -> int:
        """Reads that show an event twice."""
        return self.violations[DUPLICATE]

    def add(self, name: str, history: Sequence[Operation]) -> None:
        """Check the history of one object."""
        self.objects += 1
        self.operations += len(history)
        self.reads += sum(isinstance(one.action, Read) for one in history)
        self.unanswered += sum(one.ended is None for one in history)
        self.acknowledged += sum(
            one.ended is not None and not isinstance(one.action, Read) for one in history
        )
        try:
            found = check(history)
        except UndecidedError:
            self.undecided += 1
            return
        for violation in found:
            of_one = narrowed(history, violation)
            kind = violation.kind
            if of_one is not None and kind not in _OF_SEVERAL:
                kind = of_one[1].kind
            self.violations[kind] += 1
            if self.violations[kind] <= _EXAMPLES_OF_A_KIND:
                example = _of_one(history, *of_one) if of_one else _of_all(history, violation)
                self.examples.append(f"object {name}: {kind}\n{example}")

    def __str__(self) -> str:
        kills = ", ".join(f"{count} of {kind}" for kind, count in sorted(self.kills.items()))
        lines = [
            *self.examples,
            f"seed {self.seed}: {self.operations} operations on {self.objects} objects",
            f"  {self.reads} reads, {self.unanswered} operations without an answer, "
            f"{len(self.overloads)} refused for overload",
            f"  {self.acknowledged} writes acknowledged, {self.lost} lost, {self.doubled} doubled",
            f"  kills: {self.kills.total()} ({kills or 'none'})",
            f"  objects too hard to decide: {self.undecided}",
            f"  valid calls refused: {len(self.faults)}",
            *(f"    {fault}" for fault in self.faults[:_FAULTS_SHOWN]),
            f"  violations: {self.violations.total()}",
            *(f"    {count:>6}  {kind}" for kind, count in self.violations.most_common()),
        ]
        return "\n".join(lines)


def _of_one(
    history: Sequence[Operation], of_item: Sequence[Operation], violation: Violation
) -> str:
    """The minimal history of one event or span, with the violation at its end, for people.

    Operations marked `*` cannot be left out; of the others those are shown that wrote what a shown
    read shows, and deletes.
    """
    smaller = minimal(of_item, violation)
    needed = [one for one in smaller if one.ended is not None]
    shown = {word for one in needed if isinstance(one.action, Read) for word in _words(one.action)}
    ends = {(one.began, one.by): one.ended for one in history}
    lines = [f"  explained would be: {violation.expected}"]
    for one in smaller:
        is_needed = one.ended is not None
        if is_needed or isinstance(one.action, Delete) or written([one.action]) & shown:
            real = replace(one, ended=ends[one.began, one.by])
            lines.append(_line("*" if is_needed else " ", real, smaller[0].began))
    return "\n".join(lines)


def _of_all(history: Sequence[Operation], violation: Violation) -> str:
    """The states that the object may have had when the violation began, and what happened from then
    on, for people.
    """
    last = violation.operation
    assert last.ended is not None
    states = sorted(map(repr, states_before(history, last.began)))
    since = [one for one in history if one.ended is None or one.ended >= last.began]
    lines = [
        *(f"  before: {state}" for state in states[:_STATES_SHOWN]),
        *([f"  or {len(states)} states in all"] if len(states) > _STATES_SHOWN else []),
        f"  explained would be: {violation.expected}",
    ]
    lines += [
        _line("*" if one == last else " ", one, last.began)
        for one in sorted(since, key=lambda one: one.began)
        if one.began <= last.ended
    ]
    return "\n".join(lines)


def _words(read: Read) -> Iterator[str]:
    """All markers that a read shows."""
    if isinstance(read, ReadItems):
        yield from (value for one in read.seen for value in one.values if value is not None)
    elif isinstance(read, ReadFeedback):
        yield from (marker for _, marker in read.seen)
    elif read.seen is not None:
        yield read.seen


def _line(sign: str, one: Operation, start: int) -> str:
    ended = f"{(one.ended - start) / 1e6:10.2f}" if one.ended is not None else " no answer"
    began = f"{(one.began - start) / 1e6:10.2f}"
    return f"  {sign} {began} ..{ended} ms  {one.action}  [{one.by}]"
