"""`EvaluationQueue` on a relational database."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import orjson
from sqlalchemy import ColumnElement, and_, delete, literal, select, update

from spanloom.model import EVALUATION, Evaluation, Feedback
from spanloom.store.evaluations import NOTHING_MORE, EvaluationQueue, Judged
from spanloom.store.sql.connections import Connections
from spanloom.store.sql.rows import evaluation_rows, feedback_row
from spanloom.store.sql.tables import evaluations, feedback
from spanloom.store.sql.transaction import Transaction

_KEYS = (
    evaluations.c.project,
    evaluations.c.trace_id,
    evaluations.c.span_id,
    evaluations.c.evaluator,
)


class SqlEvaluationQueue(EvaluationQueue):
    """Evaluations that wait in SQLite or PostgreSQL."""

    def __init__(self, connections: Connections) -> None:
        self._read, self._write = connections.read, connections.write

    async def take(self, owner: str, *, lease_ns: int, limit: int) -> list[Evaluation]:
        now = time.time_ns()
        is_due = evaluations.c.due_ns <= now
        # A read first, which takes no lock: mostly nothing waits.
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

        def write(transaction: Transaction) -> list[Evaluation]:
            taken = []
            found = transaction.connection.execute(due).all()
            for project, trace_id, span_id, evaluator, failures in found:
                job = Evaluation(
                    project=project,
                    trace_id=trace_id,
                    span_id=span_id,
                    evaluator=evaluator,
                    failures=failures,
                )
                lease = (
                    update(evaluations).where(_is(job)).values(owner=owner, due_ns=now + lease_ns)
                )
                transaction.connection.execute(lease)
                taken.append(job)
            return taken

        return await self._write(write)  # type: ignore[no-any-return]

    async def finish(
        self,
        owner: str,
        *,
        results: Mapping[Evaluation, Feedback],
        later: Mapping[Evaluation, int],
        more: Mapping[Evaluation, Sequence[Evaluation]] = NOTHING_MORE,
    ) -> None:
        rows = {job: feedback_row(job.project, result) for job, result in results.items()}
        following = {job: evaluation_rows(job.project, jobs) for job, jobs in more.items()}

        def write(transaction: Transaction) -> None:
            connection = transaction.connection
            for job in (*rows, *following):
                held = delete(evaluations).where(_is(job), evaluations.c.owner == owner)
                if not connection.execute(held).rowcount:
                    continue
                if job in following:
                    transaction.write({evaluations: following[job]})
                else:
                    transaction.write({feedback: [rows[job]]})
            for job, due_ns in later.items():
                connection.execute(
                    update(evaluations)
                    .where(_is(job), evaluations.c.owner == owner)
                    .values(owner="", due_ns=due_ns, attempts=job.failures)
                )

        # Never refused by a full queue: the work is done, and may have cost a call of a model.
        await self._write(write, rows=0)

    async def judged(self, project: str, trace_id: str) -> dict[tuple[str, str], Judged]:
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


def _is(job: Evaluation) -> ColumnElement[bool]:
    values = (job.project, job.trace_id, job.span_id, job.evaluator)
    return and_(*(column == value for column, value in zip(_KEYS, values, strict=True)))
