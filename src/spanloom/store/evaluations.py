"""The contract of the queue of evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from spanloom.model import MAX_TIME_NS, Evaluation, Feedback

# Put back until this time, an evaluation waits until its evaluator is registered.
NEVER_NS = MAX_TIME_NS
NOTHING_MORE: Mapping[Evaluation, Sequence[Evaluation]] = {}


@dataclass(frozen=True, slots=True)
class Judged:
    """What a result was made from: the version of its evaluator, and a digest of the evaluator's
    input."""

    version: str
    subject: str


class EvaluationQueue(Protocol):
    """Evaluations that wait, of all projects: any number of processes take them, each is run at
    least once and has one result.

    An evaluation belongs to who took it until its lease ends; if its owner dies, another may take
    it then. Leases are times of the processes' clocks: a clock that is wrong delays or repeats a
    run, and never gives a second result. An evaluation that is asked for again while it waits or is
    run begins anew. The result and the end of the evaluation are one transaction; who lost the
    lease, or whose trace was replaced or deleted meanwhile, stores nothing. All that `ControlStore`
    promises holds here too.
    """

    async def take(self, owner: str, *, lease_ns: int, limit: int) -> list[Evaluation]:
        """Take evaluations that are due, the longest waiting first.

        Args:
            owner: a word that no other take uses.
            lease_ns: for how long they belong to the owner.
        """
        ...

    async def finish(
        self,
        owner: str,
        *,
        results: Mapping[Evaluation, Feedback],
        later: Mapping[Evaluation, int],
        more: Mapping[Evaluation, Sequence[Evaluation]] = NOTHING_MORE,
    ) -> None:
        """End evaluations that the owner holds; the others are ignored. The queue's bounds never
        refuse it.

        Args:
            results: by evaluation, the result to store.
            later: by evaluation, the time (ns since 1970) until which it is put back, with its
                `failures`.
            more: by scan, the evaluations that it found.
        """
        ...

    async def judged(self, project: str, trace_id: str) -> dict[tuple[str, str], Judged]:
        """What the results on a trace and its spans were made from, by (span id or "",
        evaluator)."""
        ...
