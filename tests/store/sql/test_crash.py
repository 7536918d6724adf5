"""A process that is killed between any two statements of a write leaves the state before the write
or the state after it."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import event

from spanloom.model import Dataset, Evaluation, EventQuery, Feedback
from spanloom.store.once import Once
from spanloom.store.store import Store
from tests.databases import select
from tests.store.conftest import Run
from tests.store.samples import a_span

Write = Callable[[Store, str], Coroutine[Any, Any, Any]]

JOB = Evaluation(trace_id="s", span_id="", evaluator="judge")
ONCE = Once("Create", "request", "request_id", "digest", "", lambda _: b"answer")
RESULT = Feedback(id="result", target="trace", target_id="s", trace_id="s", type="evaluation")


def again(name: str, session: str = "s") -> Any:
    return a_span("e", session, kind="model", name=name)


async def prepare(store: Store, project: str) -> None:
    """An event with an update, feedback and an evaluation that is taken, beside another event."""
    job = [JOB]
    await store.write_spans(project, [again("first"), a_span("other", "s")], evaluations=job)
    await store.patch_event(project, "e", {"outputs": {"a": 1}})
    await store.datasets.write(project, Dataset(slug="d", name="d", columns=["a"]))
    for target, target_id in (("span", "e"), ("trace", "s"), ("conversation", "s")):
        feedback = Feedback(id=f"on {target}", target=target, target_id=target_id)
        await store.write_feedback(project, feedback)
    await store.evaluations.take(project, lease_ns=10**15, limit=1_000)


async def finish(store: Store, project: str) -> None:
    results = {replace(JOB, project=project): RESULT}
    await store.evaluations.finish(project, results=results, later={})


WRITES: dict[str, Write] = {
    "create again": lambda s, p: s.write_spans(p, [again("second")], events=True),
    "move": lambda s, p: s.write_spans(p, [again("second", "elsewhere")], events=True),
    "update": lambda s, p: s.patch_event(p, "e", {"name": "updated", "metrics": {"m": 1}}),
    "replace": lambda s, p: s.write_trace(p, [again("second")], replace=True),
    "delete event": lambda s, p: s.delete_event(p, "e"),
    "delete session": lambda s, p: s.delete_session(p, "s"),
    "delete trace": lambda s, p: s.delete_trace(p, "s"),
    "start session": lambda s, p: s.start_session(p, a_span("new", "new", kind="session")),
    "finish an evaluation": finish,
    "add a row once": lambda s, p: s.datasets.add_row(p, "d", {"a": 1}, ONCE),
    "write a trace once": lambda s, p: s.write_trace(p, [a_span("n", "new")], once=ONCE),
}


async def state(store: Store, url: str, project: str) -> dict[str, Any]:
    """All that is stored of a project, but for versions and leases."""
    events = (await store.find_events(project, EventQuery())).items
    waiting = "SELECT trace_id, span_id, evaluator FROM evaluations WHERE project = :project"
    return {
        "traces": await store.list_traces(project, limit=100),
        "spans": {(e.trace_id, e.span_id): e for e in events},
        "updates": [await store.event_patch(project, i) for i in ("e", "other", "new", "s")],
        "feedback": (await store.find_feedback(project, limit=100)).items,
        "rows": await store.datasets.rows(project, "d"),
        "answer": await store.earlier_answer(project, ONCE),
        "evaluations": select(url, waiting, project=project),
    }


def write_and_die(url: str, project: str, name: str, step: int) -> None:
    """Do the write, and be killed before its step of this number: a statement, or the commit, or
    the answer."""
    steps = 0

    def count(*_: Any) -> None:
        nonlocal steps
        steps += 1
        if steps == step:
            os.kill(os.getpid(), signal.SIGKILL)

    async def main() -> None:
        store = await Store.open(url, migrate=False)
        engine, database = store._connections._write_engine, store._database
        event.listen(engine, "before_cursor_execute", count)
        upsert, commit = database.upsert, engine.dialect.do_commit

        def counted_upsert(*arguments: Any, **options: Any) -> None:
            count()
            upsert(*arguments, **options)

        def counted_commit(connection: Any) -> None:
            count()
            commit(connection)
            count()

        database.upsert = counted_upsert  # type: ignore[method-assign]
        engine.dialect.do_commit = counted_commit  # type: ignore[method-assign, assignment]
        await WRITES[name](store, project)

    asyncio.run(main())
    os._exit(0)


_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.store.sql.test_crash"])


@pytest.mark.parametrize("name", WRITES)
def test_a_write_is_whole_or_not_there(
    store: Store, url: str, run: Run[Any], project: str, name: str
) -> None:
    run(prepare(store, project))
    before = run(state(store, url, project))
    run(WRITES[name](store, project))
    after = run(state(store, url, project))
    assert before != after
    seen = []
    for step in range(1, 100):
        again = f"{project}-{step}"
        run(prepare(store, again))
        process = _processes.Process(target=write_and_die, args=(url, again, name, step))
        process.start()
        process.join(30)
        found = run(state(store, url, again))
        assert found in (before, after), step
        seen.append(found == after)
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
    assert seen == sorted(seen)  # what was stored is there at each later step
    assert seen.count(True) >= 2  # after the commit, and at the end
    assert seen.count(False) >= 3
