"""Evaluation in the background: takes what waits in the store, runs the evaluators, and stores each result as feedback.

Any number of processes may do so on one database. A process that dies leaves what it had taken to the others, when its lease
ends. The id of a result is a digest of what it is of, so that there is one however often it is made.
"""

from __future__ import annotations

import asyncio
import hashlib
import inspect
import time
import uuid
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import structlog

from spanloom.errors import SpanloomError
from spanloom.evaluators.judge import JudgeOffError
from spanloom.evaluators.kinds import kinds, version
from spanloom.evaluators.subject import Result, subject
from spanloom.model import EVALUATION, Evaluation, Evaluator, Feedback, Span
from spanloom.store.evaluation_queue import NEVER_NS
from spanloom.store.store import Store

log = structlog.get_logger("spanloom.evaluation")

MOST_ATTEMPTS = 5
_SECOND_NS = 1_000_000_000
LEASE_SECONDS = 30.0
# Of its lease, what an evaluator may take; one that takes longer has failed, before anybody else may run it.
_LONGEST_SHARE = 2 / 3
_AT_ONCE = 16
_POLL_SECONDS = 0.25
_WITHOUT_JUDGE_NS = 60 * _SECOND_NS


async def evaluate_forever(store: Store, lease_seconds: float = LEASE_SECONDS) -> None:
    """Evaluate until cancelled; what the database refuses is tried again."""
    while True:
        try:
            busy = await evaluate_waiting(store, lease_seconds)
        except SpanloomError as error:
            log.warning("evaluation waits for the database", reason=error.reason)
            await asyncio.sleep(1)
            continue
        if not busy:
            await asyncio.sleep(_POLL_SECONDS)


async def evaluate_waiting(store: Store, lease_seconds: float = LEASE_SECONDS) -> int:
    """Run some of what is due, and store the results; how many were taken."""
    owner = uuid.uuid4().hex
    jobs = await store.evaluations.take(
        owner, lease_ns=int(lease_seconds * _SECOND_NS), limit=_AT_ONCE
    )
    if not jobs:
        return 0
    evaluators: dict[tuple[str, str], Evaluator] = {}
    for project in {job.project for job in jobs}:
        slugs = {job.evaluator for job in jobs if job.project == project}
        for evaluator in await store.catalog.evaluators(project, slugs):
            evaluators[project, evaluator.slug] = evaluator
    registered = [job for job in jobs if (job.project, job.evaluator) in evaluators]
    traces: dict[tuple[str, str], Sequence[Span]] = {}
    for project, trace_id in {(job.project, job.trace_id) for job in registered}:
        traces[project, trace_id] = await store.trace_spans(project, trace_id)
    outcomes = await asyncio.gather(
        *(
            _run(
                job,
                evaluators[job.project, job.evaluator],
                traces[job.project, job.trace_id],
                lease_seconds * _LONGEST_SHARE,
            )
            for job in registered
        )
    )
    later = {job: NEVER_NS for job in jobs if (job.project, job.evaluator) not in evaluators}
    results, more = {}, {}
    for job, outcome in zip(registered, outcomes, strict=True):
        if isinstance(outcome, int):
            later[job] = time.time_ns() + outcome
        else:
            results[job] = _feedback(job, evaluators[job.project, job.evaluator], outcome)
            more[job] = _of_generations(job, traces[job.project, job.trace_id])
    await store.evaluations.finish(owner, results=results, later=later, more=more)
    return len(jobs)


async def _run(
    job: Evaluation, evaluator: Evaluator, spans: Sequence[Span], longest_seconds: float
) -> Result | int:
    """The result, or after how many nanoseconds to try again."""
    kind = kinds().get(evaluator.kind)
    if kind is None:  # its plug-in is not installed here
        return _WITHOUT_JUDGE_NS
    judged = subject(job.span_id, spans)
    if judged is None:
        return Result(None, "error", "what was to be judged is not there")
    try:
        async with asyncio.timeout(longest_seconds):
            found: object = await _called(kind.evaluate, judged, evaluator.body)
        if isinstance(found, Result):
            result: Result = found
            return result
        raise TypeError(f"not a Result: {type(found).__name__}")
    except JudgeOffError:
        return _WITHOUT_JUDGE_NS
    except Exception:  # evaluators may raise anything
        log.exception(
            "an evaluator failed",
            project=job.project,
            trace_id=job.trace_id,
            evaluator=job.evaluator,
            attempt=job.attempts,
        )
    if job.attempts < MOST_ATTEMPTS:
        return _SECOND_NS << job.attempts
    return Result(None, "error", f"the evaluator failed {job.attempts} times; the log says why")


async def _called(evaluate: Any, *arguments: Any) -> Any:
    if inspect.iscoroutinefunction(evaluate):
        return await evaluate(*arguments)
    return await asyncio.to_thread(evaluate, *arguments)


def _of_generations(job: Evaluation, spans: Sequence[Span]) -> list[Evaluation]:
    """What follows from the evaluation of a trace: the same of each generation in it."""
    if job.span_id:
        return []
    return [
        Evaluation(trace_id=job.trace_id, span_id=span.span_id, evaluator=job.evaluator)
        for span in spans
        if span.kind == "model" and span.parent_id
    ]


def _feedback(job: Evaluation, evaluator: Evaluator, result: Result) -> Feedback:
    target, target_id = ("span", job.span_id) if job.span_id else ("trace", job.trace_id)
    ref_noun = "agent_span" if job.span_id else "agent_turn"
    of_evaluator = version(evaluator.kind, evaluator.body)
    identity = (job.project, job.trace_id, job.span_id, job.evaluator, of_evaluator)
    payload = {
        "evaluator": job.evaluator,
        "version": of_evaluator,
        "score": result.score,
        "label": result.label,
        "explanation": result.explanation,
    }
    return Feedback(
        id=hashlib.sha256("\0".join(identity).encode()).hexdigest()[:32],
        target=target,
        target_id=target_id,
        trace_id=job.trace_id,
        ref=f"weave:///spanloom/{quote(job.project, safe='')}/{ref_noun}/{quote(target_id, safe='')}",
        type=EVALUATION,
        creator=job.evaluator,
        created_ns=time.time_ns(),
        body={"payload": {name: value for name, value in payload.items() if value is not None}},
    )
