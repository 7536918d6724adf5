"""Evaluation in the background: leases pending evaluations from the store, runs the evaluators, and
stores each result as feedback.

Any number of processes may do so on one database. If a process dies, others take over its
evaluations after the lease expires. A result's id is a digest of its target and evaluator, so a
repeated run replaces the result instead of adding one.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import inspect
import math
import threading
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any
from urllib.parse import quote

import structlog

from spanloom.codec.offload import run_in_thread_if_large
from spanloom.errors import SpanloomError
from spanloom.evaluation.judge import JudgeOffError
from spanloom.evaluation.kinds import Kind, kinds, version
from spanloom.evaluation.sandbox import RunKilledError, RunLostError
from spanloom.evaluation.subject import Result, Subject, digest, subjects
from spanloom.model import EVALUATION, Evaluation, Evaluator, Feedback, Json, Span
from spanloom.model.evaluations import requested_evaluations
from spanloom.store.evaluations import NEVER_NS, Judged
from spanloom.store.store import Store

log = structlog.get_logger("spanloom.evaluation")

MOST_FAILURES = 5
_MOST_KILLS = 2
_SECOND_NS = 1_000_000_000
LEASE_SECONDS = 30.0
# The part of its lease that an evaluator may take; one that takes longer fails before another
# process may run it.
_LONGEST_SHARE = 2 / 3
_MOST_TAKEN = 16
_MOST_AT_ONCE = 64
_POLL_SECONDS = 0.25
_TROUBLED_SECONDS = 1.0
_WITHOUT_JUDGE_NS = 60 * _SECOND_NS


# Runs an evaluator: the name of its kind, the kind, the subject, the settings, and how many seconds
# it may take.
Evaluate = Callable[[str, Kind, Subject, Mapping[str, Json], float], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class _Later:
    """A run without a result, which is tried again after so many nanoseconds."""

    ns: int
    is_failure: bool = False


async def in_this_process(
    _: str, kind: Kind, subject: Subject, settings: Mapping[str, Json], seconds: float
) -> object:
    """Run an evaluator in this process."""
    async with asyncio.timeout(seconds):
        return await _called(kind.evaluate, subject, settings)


async def evaluate_until(
    stop: asyncio.Event,
    store: Store,
    lease_seconds: float = LEASE_SECONDS,
    evaluate: Evaluate = in_this_process,
) -> None:
    """Evaluate until stopped, and finish the started runs; what the database refuses is retried.

    A slow evaluator keeps no other waiting, as long as fewer than `_MOST_AT_ONCE` run. When
    cancelled, what is begun is given back at once.
    """
    running: set[asyncio.Task[None]] = set()
    stopped = asyncio.create_task(stop.wait())
    try:
        while not stopped.done():
            pause = _POLL_SECONDS
            try:
                if limit := min(_MOST_TAKEN, _MOST_AT_ONCE - len(running)):
                    taken, begun = await _begin(store, lease_seconds, limit, evaluate)
                    running.update(asyncio.create_task(_logged(run)) for run in begun)
                    if taken:
                        continue
            except SpanloomError as error:
                log.warning(
                    "the evaluation was postponed because the database is unavailable",
                    reason=error.reason,
                )
                pause = _TROUBLED_SECONDS
            except Exception:  # evaluation must go on while the server does
                log.exception("evaluations could not be started")
                pause = _TROUBLED_SECONDS
            first = asyncio.FIRST_COMPLETED
            await asyncio.wait({stopped, *running}, timeout=pause, return_when=first)
            running = {task for task in running if not task.done()}
        await asyncio.gather(*running)
    finally:
        for task in (stopped, *running):
            task.cancel()
        await asyncio.wait({stopped, *running})


async def _begin(
    store: Store, lease_seconds: float, limit: int, evaluate: Evaluate
) -> tuple[int, list[Coroutine[Any, Any, None]]]:
    """Lease some due evaluations: their number, the scans, and the runs of those whose evaluator is
    registered."""
    owner = uuid.uuid4().hex
    lease_ns = int(lease_seconds * _SECOND_NS)
    jobs = await store.evaluations.take(owner, lease_ns=lease_ns, limit=limit)
    async with _given_back(store, owner, jobs):
        traces: dict[tuple[str, str], Sequence[Span]] = {
            of: await store.trace_spans(*of) for of in {(job.project, job.trace_id) for job in jobs}
        }
        runs = [job for job in jobs if job.evaluator]
        evaluators = await _evaluators(store, runs)
        later = {job: NEVER_NS for job in runs if (job.project, job.evaluator) not in evaluators}
        if later:
            await store.evaluations.finish(owner, results={}, later=later)
    judged = {
        of: subjects({job.span_id for job in runs if (job.project, job.trace_id) == of}, spans)
        for of, spans in traces.items()
    }
    scans = [
        _scan(store, owner, job, traces[job.project, job.trace_id])
        for job in jobs
        if not job.evaluator
    ]
    return len(jobs), scans + [
        _judge(
            store,
            owner,
            job,
            evaluators[job.project, job.evaluator],
            judged[job.project, job.trace_id].get(job.span_id),
            partial(_run, longest_seconds=lease_seconds * _LONGEST_SHARE, evaluate=evaluate),
        )
        for job in runs
        if job not in later
    ]


async def _scan(store: Store, owner: str, scan: Evaluation, spans: Sequence[Span]) -> None:
    """Ask for what a trace is to be evaluated by."""
    async with _given_back(store, owner, [scan]):
        more = {scan: await _asked(store, scan, spans)}
        await store.evaluations.finish(owner, results={}, later={}, more=more)


async def _judge(
    store: Store,
    owner: str,
    job: Evaluation,
    evaluator: Evaluator,
    judged: Subject | None,
    run: Callable[[Evaluation, Evaluator, Subject | None], Awaitable[Result | _Later]],
) -> None:
    """Run one evaluation, and store what it gave."""
    async with _given_back(store, owner, [job]):
        outcome = await run(job, evaluator, judged)
        results, later = {}, {}
        if isinstance(outcome, _Later):
            failures = job.failures + outcome.is_failure
            later[replace(job, failures=failures)] = time.time_ns() + outcome.ns
        else:
            results[job] = _feedback(job, evaluator, judged, outcome)
        await store.evaluations.finish(owner, results=results, later=later)


@contextlib.asynccontextmanager
async def _given_back(store: Store, owner: str, jobs: Sequence[Evaluation]) -> AsyncIterator[None]:
    """When cancelled, others need not wait for the end of the lease."""
    try:
        yield
    except asyncio.CancelledError:
        later = dict.fromkeys(jobs, time.time_ns())
        with contextlib.suppress(SpanloomError):  # the cancellation must get through
            await asyncio.shield(store.evaluations.finish(owner, results={}, later=later))
        raise


async def _logged(run: Coroutine[Any, Any, None]) -> None:
    """A run that fails is logged; it is leased again when its lease expires."""
    try:
        await run
    except SpanloomError as error:
        log.warning(
            "the evaluation was postponed because the database is unavailable", reason=error.reason
        )
    except Exception:
        log.exception("an evaluation failed")


async def _asked(store: Store, scan: Evaluation, spans: Sequence[Span]) -> list[Evaluation]:
    """The evaluations that a trace requests, without those whose evaluator and subject have a
    result already and are unchanged."""
    asked = (
        await run_in_thread_if_large(len(spans), lambda: requested_evaluations(spans))
        if spans
        else []
    )
    if not asked:
        return []
    found = await store.evaluations.judged(scan.project, scan.trace_id)
    evaluators = await store.catalog.evaluators(scan.project, {job.evaluator for job in asked})
    versions = {e.slug: version(e.kind, e.body) for e in evaluators}
    digests = await run_in_thread_if_large(len(spans) + len(asked), lambda: _digests(asked, spans))
    return [
        job
        for job in asked
        if found.get((job.span_id, job.evaluator))
        != Judged(versions.get(job.evaluator, ""), digests.get(job.span_id, ""))
    ]


def _digests(jobs: Sequence[Evaluation], spans: Sequence[Span]) -> dict[str, str]:
    judged = subjects({job.span_id for job in jobs}, spans)
    return {span_id: digest(subject) for span_id, subject in judged.items()}


async def _evaluators(store: Store, jobs: Sequence[Evaluation]) -> dict[tuple[str, str], Evaluator]:
    found: dict[tuple[str, str], Evaluator] = {}
    for project in {job.project for job in jobs}:
        slugs = {job.evaluator for job in jobs if job.project == project}
        for evaluator in await store.catalog.evaluators(project, slugs):
            found[project, evaluator.slug] = evaluator
    return found


async def _run(
    job: Evaluation,
    evaluator: Evaluator,
    judged: Subject | None,
    *,
    longest_seconds: float,
    evaluate: Evaluate,
) -> Result | _Later:
    """The result, or when to try again."""
    kind = kinds().get(evaluator.kind)
    if kind is None:  # its plug-in is not installed here
        return _Later(_WITHOUT_JUDGE_NS)
    if judged is None:
        return Result(None, "error", "the trace or log to evaluate does not exist")
    failures = job.failures + 1
    try:
        found = await evaluate(evaluator.kind, kind, judged, evaluator.body, longest_seconds)
        if isinstance(found, Result):
            return _checked(found)
        raise TypeError(f"not a Result: {type(found).__name__}")
    except JudgeOffError:
        return _Later(_WITHOUT_JUDGE_NS)
    except RunLostError:
        return _Later(_SECOND_NS)
    except RunKilledError as error:
        log.error(
            "an evaluator ended its process",
            project=job.project,
            trace_id=job.trace_id,
            evaluator=job.evaluator,
            failures=failures,
            is_set_aside=failures >= _MOST_KILLS,
            cause=str(error),
        )
        if failures < _MOST_KILLS:
            return _Later(_SECOND_NS, is_failure=True)
        return Result(
            None,
            "error",
            "the evaluation is set aside: its process was ended twice, for it took too much time"
            " or memory",
        )
    except Exception:  # evaluators may raise anything
        log.exception(
            "an evaluator failed",
            project=job.project,
            trace_id=job.trace_id,
            evaluator=job.evaluator,
            failures=failures,
        )
    if failures < MOST_FAILURES:
        return _Later(_SECOND_NS << failures, is_failure=True)
    return Result(
        None, "error", f"the evaluator failed {failures} times; the server's log has the cause"
    )


def _checked(result: Result) -> Result:
    """The result as it can be stored; TypeError or ValueError when it cannot be."""
    score = None if result.score is None else float(result.score)
    if score is not None and not math.isfinite(score):
        raise ValueError("the score is not a finite number")
    texts = []
    for text in (result.label, result.explanation):
        if not (text is None or isinstance(text, str)):
            raise TypeError("label and explanation must be strings")
        texts.append(text and text.encode(errors="replace").decode())
    return Result(score, *texts)


async def _called(evaluate: Any, *arguments: Any) -> Any:
    if inspect.iscoroutinefunction(evaluate):
        return await evaluate(*arguments)
    # A thread of its own: one that never ends delays neither the others nor the end of the process.
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Any] = loop.create_future()

    def tell(set_to: Callable[[Any], None], value: Any) -> None:
        if not done.done():
            set_to(value)

    def run() -> None:
        try:
            outcome = (done.set_result, evaluate(*arguments))
        except BaseException as error:  # noqa: BLE001 - raised to the caller
            outcome = (done.set_exception, error)
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(tell, *outcome)

    threading.Thread(target=run, name="spanloom-evaluator", daemon=True).start()
    return await done


def _feedback(
    job: Evaluation, evaluator: Evaluator, judged: Subject | None, result: Result
) -> Feedback:
    target, target_id = ("span", job.span_id) if job.span_id else ("trace", job.trace_id)
    ref_noun = "agent_span" if job.span_id else "agent_turn"
    # Not the version: an evaluator's result replaces its earlier one.
    identity = (job.project, job.trace_id, job.span_id, job.evaluator)
    payload = {
        "evaluator": job.evaluator,
        "version": version(evaluator.kind, evaluator.body),
        "score": result.score,
        "label": result.label,
        "explanation": result.explanation,
    }
    return Feedback(
        id=hashlib.sha256("\0".join(identity).encode()).hexdigest()[:32],
        target=target,
        target_id=target_id,
        trace_id=job.trace_id,
        ref=f"weave:///spanloom/{quote(job.project, safe='')}/{ref_noun}/"
        + quote(target_id, safe=""),
        type=EVALUATION,
        creator=job.evaluator,
        created_ns=time.time_ns(),
        body={
            "payload": {name: value for name, value in payload.items() if value is not None},
            "subject": digest(judged) if judged else "",
        },
    )
