"""What a run did and found, and how a history is written for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from tests.history.checker import DUPLICATE, MIXTURE, UNWRITTEN, UndecidedError, check
from tests.history.minimal import minimal, narrowed
from tests.history.model import Delete, Operation, Read, ReadFeedback, ReadItems, written

_EXAMPLES_OF_A_KIND = 2
# Kinds that are about several events or spans; other kinds are named by what a single one shows.
_OF_SEVERAL = (DUPLICATE, MIXTURE, UNWRITTEN)
_FAULTS_SHOWN = 10


@dataclass
class Report:
    """What a run did and found. `faults`: valid calls that were refused; `examples`: minimal histories of violations."""

    seed: int
    objects: int = 0
    operations: int = 0
    reads: int = 0
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

    def add(self, name: str, history: Sequence[Operation]) -> None:
        """Check the history of one object."""
        self.objects += 1
        self.operations += len(history)
        self.reads += sum(isinstance(one.action, Read) for one in history)
        self.unanswered += sum(one.ended is None for one in history)
        try:
            found = check(history)
        except UndecidedError:
            self.undecided += 1
            return
        for violation in found:
            of_one, in_one = narrowed(history, violation)
            kind = violation.kind if violation.kind in _OF_SEVERAL else in_one.kind
            self.violations[kind] += 1
            if self.violations[kind] <= _EXAMPLES_OF_A_KIND:
                text = example(history, minimal(of_one, in_one))
                self.examples.append(
                    f"object {name}: {kind}\n  explained would be: {in_one.expected}\n{text}"
                )

    def __str__(self) -> str:
        kills = ", ".join(f"{count} of {kind}" for kind, count in sorted(self.kills.items()))
        lines = [
            *self.examples,
            f"seed {self.seed}: {self.operations} operations on {self.objects} objects",
            f"  {self.reads} reads, {self.unanswered} operations without an answer, "
            f"{len(self.overloads)} refused for overload",
            f"  kills: {kills or 'none'}",
            f"  objects too hard to decide: {self.undecided}",
            f"  valid calls refused: {len(self.faults)}",
            *(f"    {fault}" for fault in self.faults[:_FAULTS_SHOWN]),
            f"  violations: {self.violations.total()}",
            *(f"    {count:>6}  {kind}" for kind, count in self.violations.most_common()),
        ]
        return "\n".join(lines)


def example(history: Sequence[Operation], smaller: Sequence[Operation]) -> str:
    """A minimal history with its violation at the end, for people; `history` is the whole one.

    Operations marked `*` cannot be left out; of the others those are shown that wrote what a shown read shows, and deletes.
    """
    needed = [one for one in smaller if one.ended is not None]
    shown = {word for one in needed if isinstance(one.action, Read) for word in _words(one.action)}
    ends = {(one.began, one.by): one.ended for one in history}
    lines = []
    for one in smaller:
        is_needed = one.ended is not None
        if is_needed or isinstance(one.action, Delete) or written([one.action]) & shown:
            real = replace(one, ended=ends[one.began, one.by])
            lines.append(_line("*" if is_needed else " ", real, smaller[0].began))
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
