"""A call with a request id is done once, whoever makes it at the same time."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from spanloom.errors import SpanloomError
from spanloom.model import Dataset, Experiment
from spanloom.store.once import REMEMBERED_SECONDS, AnsweredBeforeError, Once
from spanloom.store.store import Store
from tests.databases import select
from tests.store.conftest import Run
from tests.store.samples import a_span
from tests.store.sql.test_migrations import execute

_numbers = itertools.count(1)


def call(answer: str, request_id: str = "r", digest: str = "d") -> Once:
    return Once("Create", request_id, "request_id", digest, "", lambda _: answer.encode())


async def create(store: Store, project: str, once: Once) -> bytes:
    """A new experiment, or the answer to the call that has made one."""
    number = next(_numbers)
    experiment = Experiment(id=str(number), name="n", feature_slug="f", created_ns=number)
    try:
        await store.catalog.create_experiment(project, experiment, once)
    except AnsweredBeforeError as repeat:
        return repeat.answer
    return once.answer(None)


def count(run: Run[Any], store: Store, project: str) -> int:
    return len(run(store.catalog.list_experiments(project, limit=1_000)))


def test_of_calls_at_once_by_two_processes_one_is_done(
    store: Store, url: str, run: Run[Any], project: str
) -> None:
    async def at_once() -> None:
        other = await Store.open(url)
        for request in map(str, range(10)):
            calls = [
                create(each, project, call(f"{request}-{number}", request))
                for number in range(4)
                for each in (store, other)
            ]
            answers = set(await asyncio.gather(*calls))
            assert len(answers) == 1
        await other.close()

    run(at_once())
    assert count(run, store, project) == 10


def test_a_trace_is_written_once(store: Store, run: Run[Any], project: str) -> None:
    run(store.write_trace(project, [a_span("a", "first")], once=call("first")))
    with pytest.raises(AnsweredBeforeError) as repeat:
        run(store.write_trace(project, [a_span("a", "second")], once=call("second")))
    assert repeat.value.answer == b"first"
    assert [t.trace_id for t in run(store.list_traces(project, limit=9))] == ["first"]


def test_a_call_beside_others_in_one_transaction_fails_alone(
    store: Store, run: Run[Any], project: str
) -> None:
    async def at_once() -> Any:
        await store.datasets.write(project, Dataset(slug="qa", name="qa", columns=["a"]))
        return await asyncio.gather(
            create(store, project, call("first")),
            create(store, project, call("other", digest="another")),
            store.datasets.add_row(project, "none", {}, call("row", "row")),
            store.datasets.add_row(project, "qa", {"n": 1}, call("row", "row")),
            create(store, project, call("second")),
            return_exceptions=True,
        )

    first, reused, missing, row, second = run(at_once())
    assert (first, row, second) == (b"first", None, b"first")
    assert isinstance(reused, SpanloomError)
    assert reused.reason == "REQUEST_ID_REUSED"
    assert isinstance(missing, SpanloomError)
    assert missing.reason == "DATASET_NOT_FOUND"
    assert run(store.datasets.rows(project, "qa")) == [{"n": 1}]


def test_an_answer_is_forgotten_after_its_time(
    store: Store, url: str, run: Run[Any], project: str
) -> None:
    requests = [str(number) for number in range(120)]
    for request in requests:
        run(create(store, project, call("first", request)))
    assert run(store.earlier_answer(project, call("", "7"))) == b"first"
    back = (REMEMBERED_SECONDS + 1) * 10**9
    execute(
        url,
        f"UPDATE answers SET created_ns = created_ns - {back} WHERE project = '{project}'",
    )
    assert run(store.earlier_answer(project, call("", "7"))) is None
    # Also where it is not the oldest, and so not yet deleted with others.
    assert run(create(store, project, call("second", "119", "another"))) == b"second"
    assert run(create(store, project, call("third", "119", "another"))) == b"second"
    assert count(run, store, project) == 121


def test_expired_answers_are_deleted_with_new_ones(
    empty_url: str, run: Run[Any], project: str
) -> None:
    async def answers() -> int:
        store = await Store.open(empty_url)
        for request in range(130):
            await create(store, project, call("first", str(request)))
        execute(empty_url, "UPDATE answers SET created_ns = created_ns - 86401000000000")
        for request in range(2):
            await create(store, project, call("second", f"new-{request}"))
        await store.close()
        return len(select(empty_url, "SELECT request_id FROM answers"))

    assert run(answers()) == 2
