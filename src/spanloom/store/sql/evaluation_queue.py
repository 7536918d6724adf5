"""What waits to be evaluated: taken under a lease, and gone when its result is stored."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import orjson
from sqlalchemy import ColumnElement, Connection, and_, delete, func, literal, select, update

from spanloom.model import EVALUATION, MAX_TIME_NS, Evaluation, Feedback, look_at
from spanloom.store.sql.dialect import Database
from spanloom.store.sql.readers import Readers
from spanloom.store.sql.rows import evaluation_rows, feedback_row
from spanloom.store.sql.tables import evaluations, feedback, traces
from spanloom.store.sql.versions import Versions
from spanloom.store.sql.writer import Writer

NEVER_NS = MAX_TIME_NS
NOTHING_MORE: Mapping[Evaluation, Sequence[Evaluation]] = {}


@dataclass(frozen=True, slots=True)
class Judged:
    """What a result is of: the version of its evaluator, and a digest of what that was given."""

    version: str
    subject: str


_KEYS = (
    evaluations.c.project,
    evaluations.c.trace_id,
    evaluations.c.span_id,
    evaluations.c.evaluator,
)


@dataclass(frozen=True, slots=True)
class EvaluationQueue:
    """Evaluations that wait, of all projects: any number of processes take them, each is run at least once and has one result.

    An evaluation belongs to who took it until its lease ends; if its owner dies, another takes it then. One that is asked for
    again while it waits or is run is begun anew. The result and the end of the evaluation are one transaction, and who lost
    the lease (or whose trace was replaced or deleted meanwhile) stores nothing. Every sentence that `Store` promises of
    writes holds here too.
    """

    _database: Database
    _read: Readers
    _writer: Writer
    _versions: Versions

    async def take(self, owner: str, *, lease_ns: int, limit: int) -> list[Evaluation]:
        """Some that are due, the longest waiting first, now leased to `owner`, a word that no other take uses."""
        now = time.time_ns()
        is_due = evaluations.c.due_ns <= now
        # A look that takes no lock first: mostly nothing waits.
        if not await self._read(
            lambda c: c.execute(select(literal(1)).where(is_due).limit(1)).first()
        ):
            return []
        due = (
            select(*_KEYS, evaluations.c.attempts)
            .select_from(evaluations)
            .where(is_due)
            .order_by(evaluations.c.due_ns, *_KEYS)
            .limit(limit)
        )

        def run(connection: Connection) -> list[Evaluation]:
            taken = []
            for project, trace_id, span_id, evaluator, attempts in connection.execute(due).all():
                job = Evaluation(
                    project=project,
                    trace_id=trace_id,
                    span_id=span_id,
                    evaluator=evaluator,
                    attempts=attempts + 1,
                )
                lease = (
                    update(evaluations)
                    .where(_is(job), is_due)  # another process may have been quicker
                    .values(owner=owner, due_ns=now + lease_ns, attempts=job.attempts)
                )
                if connection.execute(lease).rowcount:
                    taken.append(job)
            return taken

        return await self._writer.write(run)  # type: ignore[no-any-return]

    async def finish(
        self,
        owner: str,
        *,
        results: Mapping[Evaluation, Feedback],
        later: Mapping[Evaluation, int],
        more: Mapping[Evaluation, Sequence[Evaluation]] = NOTHING_MORE,
    ) -> None:
        """Store results (feedback), each ending its evaluation, end looks with what they found to be evaluated (`more`), and put
        others back until a time (ns; NEVER_NS: until their evaluator is registered). What `owner` does not hold any more is
        passed over.
        """
        version = self._versions.take(len(results))
        rows = {
            job: feedback_row(job.project, result, version + n)
            for n, (job, result) in enumerate(results.items())
        }
        following = {
            job: evaluation_rows(job.project, jobs, self._versions.take(1))
            for job, jobs in more.items()
        }

        def run(connection: Connection) -> None:
            held = []
            for job in (*rows, *following):
                statement = delete(evaluations).where(_is(job), evaluations.c.owner == owner)
                if connection.execute(statement).rowcount:
                    if job in following:
                        self._database.upsert(connection, evaluations, following[job])
                    else:
                        held.append(rows[job])
            if held:
                self._database.upsert(connection, feedback, held)
            for job, due_ns in later.items():
                connection.execute(
                    update(evaluations)
                    .where(_is(job), evaluations.c.owner == owner)
                    .values(owner="", due_ns=due_ns)
                )

        # Never refused by a full queue: the work is done, and may have cost a call of a model.
        await self._writer.write(run, rows=0)

    async def look_at_sampled(self, project: str, trace_ids: Collection[str]) -> None:
        """Look at those of the traces that were chosen for evaluation: more of their spans came."""
        query = select(traces.c.trace_id).where(
            traces.c.project == project,
            self._database.among(traces.c.trace_id, trace_ids),
            traces.c.sampled == 1,
        )
        chosen = await self._read(lambda c: c.execute(query).scalars().all())
        if chosen:
            looks = [look_at(trace_id) for trace_id in sorted(chosen)]
            rows = evaluation_rows(project, looks, self._versions.take(1))
            await self._writer.write({evaluations: rows}, rows=len(rows))

    async def judged(self, project: str, trace_id: str) -> dict[tuple[str, str], Judged]:
        """What the results on a trace and its spans are of, by (span id or "", evaluator)."""
        query = select(feedback.c.target, feedback.c.target_id, feedback.c.creator, feedback.c.body)
        query = query.where(
            feedback.c.project == project,
            feedback.c.trace_id == trace_id,
            feedback.c.type == EVALUATION,
        )
        found = await self._read(lambda c: c.execute(query).fetchall())
        judged = {}
        for target, target_id, evaluator, text in found:
            body = orjson.loads(text)
            span_id = target_id if target == "span" else ""
            version = body.get("payload", {}).get("version", "")
            judged[span_id, evaluator] = Judged(version, body.get("subject", ""))
        return judged

    async def waiting(self, project: str) -> int:
        """How many of a project wait or are being run."""
        query = select(func.count()).where(evaluations.c.project == project)
        return await self._read(lambda c: c.execute(query).scalar_one())


def _is(job: Evaluation) -> ColumnElement[bool]:
    values = (job.project, job.trace_id, job.span_id, job.evaluator)
    return and_(*(column == value for column, value in zip(_KEYS, values, strict=True)))
