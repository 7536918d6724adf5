"""Copies of all data in another database, of the same kind or another."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from click.testing import CliRunner
from sqlalchemy import Engine, Table, event, select, text

from spanloom.cli import cli
from spanloom.errors import SetupError
from spanloom.operations import demo
from spanloom.store.sql import copying, postgresql
from spanloom.store.sql.copying import side as sides
from spanloom.store.sql.copying.side import Side
from spanloom.store.sql.copying.tables import BY_KEY, BY_VERSION, LEFT_OUT
from spanloom.store.sql.tables import metadata
from spanloom.store.store import Store
from tests.databases import new_url
from tests.servers import LiveServer
from tests.store.conftest import Run
from tests.store.samples import a_span
from tests.store.sql.make_database import fill
from tests.store.sql.test_attachments import IMAGE, a_sent, saying

# Forks of a server that has the store imported already: they start in a moment.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.store.sql.test_copying"])

BOTH_WAYS = pytest.mark.parametrize(
    ("of", "into"), [("sqlite", "postgresql"), ("postgresql", "sqlite")]
)


USAGE = "/v1/usage?startTimeFrom=2020-01-01T00:00:00Z&startTimeBefore=2040-01-01T00:00:00Z"


def ignore(*_: int) -> None:
    pass


def copy(source: str, target: str, project: str = "") -> int:
    return copying.copy(source, target, project, ignore)


def verify(source: str, target: str, project: str = "") -> list[str]:
    return copying.verify(source, target, project, ignore)


def content(url: str, table: Table) -> list[str]:
    """All rows of a table, in one order on every database."""
    with Side.open(url, writer=False) as side, side.engine.connect() as connection:
        return sorted(repr(tuple(row)) for row in connection.execute(select(table)))


def assert_equal(one: str, other: str) -> None:
    for table in (*BY_VERSION, *BY_KEY):
        assert content(one, table) == content(other, table), table.name


def execute(url: str, statement: str) -> None:
    with Side.open(url, writer=True) as side, side.engine.begin() as connection:
        connection.execute(text(statement))


def store(run: Run[Any], url: str, work: Callable[[Store], Any]) -> None:
    """Do something with the store of a URL."""

    async def use() -> None:
        opened = await Store.open(url)
        try:
            await work(opened)
        finally:
            await opened.close()

    run(use())


def a_server(url: str) -> LiveServer:
    """A server that stores and reads. Without evaluators, which would go on while a test reads."""
    return LiveServer(database=url, log_level="error", evaluate=False)


def answers(server: LiveServer, key: str) -> Iterator[Any]:
    """What a client reads of the demonstration's project."""
    with httpx.Client(
        base_url=f"http://{server.running.http_address}",
        headers={"authorization": f"Bearer {key}"},
        trust_env=False,
        timeout=60,
    ) as client:
        yield from read_all(client)


def read_all(client: httpx.Client) -> Iterator[Any]:
    def pages(path: str, found: str) -> Iterator[Any]:
        token = "first"
        while token:
            asked = {"pageSize": "1000", "pageToken": "" if token == "first" else token}
            answer = client.get(path, params=asked)
            assert answer.status_code == 200, answer.text
            page = answer.json()
            yield from page.get(found, [])
            token = page.get("nextPageToken", "")

    traces = list(pages("/v1/traces", "traces"))
    yield from traces
    yield from pages("/v1/conversations", "conversations")
    yield from pages("/v1/reviews", "reviews")
    for trace in traces[::20]:
        yield from pages(f"/v1/traces/{trace['id']}/spans", "spans")
        asked = {"project_id": "demo", "trace_id": trace["id"]}
        answer = client.post("/agents/traces/chat", json=asked)
        assert answer.status_code == 200, answer.text
        yield answer.json()
    for path in (*(USAGE, "/v1/prompts", "/v1/datasets", "/v1/experiments", "/v1/prices"),):
        answer = client.get(path)
        assert answer.status_code == 200, answer.text
        yield answer.json()


def copy_and_die(source: str, target: str, statements: int) -> None:
    """Copy, and kill -9 this process at a statement, counted from the first of its journal."""
    left = None

    def count(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        nonlocal left
        if left is None and statement.startswith(("INSERT INTO data_copies", "UPDATE data_copies")):
            left = statements
        elif left is not None:
            left -= 1
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)

    event.listen(Engine, "before_cursor_execute", count)
    sides.SPANS_AT_ONCE = 500
    copy(source, target)


def kill_copies(source: str, target: str, *moments: int) -> None:
    for moment in moments:
        process = _processes.Process(target=copy_and_die, args=(source, target, moment))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL


def test_all_data_goes_to_postgresql_and_back_though_copies_are_killed(
    tmp_path: Path, run: Run[Any]
) -> None:
    source, target = new_url("sqlite", tmp_path), new_url("postgresql", tmp_path)
    back = new_url("sqlite", tmp_path)

    async def fill_more(store: Store) -> None:
        async for _ in demo.fill(store, "demo", traces_per_day=40):
            pass

    with a_server(source) as server:
        fill(server)
        server.run(fill_more(server.running.store))
        key = server.key("demo", "admin")
        read = list(answers(server, key))
    assert len(read) > 500
    kill_copies(source, target, 50, 90)
    with pytest.raises(SetupError, match="only partly filled"):
        run(Store.open(target))
    number = copy(source, target)
    assert number > 3_000
    assert_equal(source, target)
    assert verify(source, target) == []
    kill_copies(target, back, 40, 120)
    assert copy(target, back) == number
    assert_equal(source, back)
    assert verify(source, back) == []
    for url in (target, back):
        with a_server(url) as server:
            assert list(answers(server, key)) == read


@BOTH_WAYS
def test_a_second_run_copies_what_has_changed(
    tmp_path: Path, run: Run[Any], of: str, into: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sides, "SPANS_AT_ONCE", 7)
    source, target = new_url(of, tmp_path), new_url(into, tmp_path)

    async def write(store: Store) -> None:
        for project in ("p", "q"):
            for trace in range(10):
                spans = [a_span(f"{n}", f"t{trace}", {"outputs": trace}) for n in range(5)]
                await store.write_spans(project, spans, events=True)

    async def change(store: Store) -> None:
        await store.delete_trace("p", "t3")
        # Deleted and written again: its order begins anew.
        await store.delete_trace("p", "t4")
        await store.write_spans("p", [a_span("1", "t4")])
        await store.write_spans("p", [a_span("1", "t5", name="renamed")])
        await store.write_spans("q", [a_span("new", "t11", {"user": {"id": "u"}})], events=True)
        # An event that moves to another trace.
        await store.write_spans("q", [a_span("2", "t12")], events=True)

    store(run, source, write)
    copy(source, target)
    assert_equal(source, target)
    store(run, source, change)
    assert verify(source, target) != []
    copy(source, target)
    assert_equal(source, target)
    assert verify(source, target) == []
    # Nothing is left to do, and nothing is done.
    before = content(target, metadata.tables["bodies"])
    copy(source, target)
    assert content(target, metadata.tables["bodies"]) == before


@BOTH_WAYS
def test_projects_are_copied_alone(tmp_path: Path, run: Run[Any], of: str, into: str) -> None:
    source, target = new_url(of, tmp_path), new_url(into, tmp_path)

    async def write(store: Store) -> None:
        for n in range(4):
            for project in ("p", "q", "r"):
                await store.ensure_project(project)
                await store.write_spans(project, [a_span(f"{n}", "t")], events=True)

    store(run, source, write)
    assert copy(source, target, "q") == 4
    assert verify(source, target, "q") == []
    # Their versions lie between those of the first one.
    assert copy(source, target, "p") == 4
    assert verify(source, target, "p") == verify(source, target, "q") == []
    assert [line for line in verify(source, target) if "'r'" in line] == verify(source, target)
    assert copy(source, target) == 12
    assert_equal(source, target)

    async def read(store: Store) -> None:
        for project in ("p", "q", "r"):
            assert len(await store.trace_spans(project, "t")) == 4
            await store.write_spans(project, [a_span("1", "moved")], events=True)
            assert len(await store.trace_spans(project, "t")) == 3

    store(run, target, read)


def test_a_target_is_empty_and_filled_from_one_source(tmp_path: Path, run: Run[Any]) -> None:
    source, other, target, used = (new_url("sqlite", tmp_path) for _ in range(4))

    async def write(store: Store) -> None:
        await store.write_spans("p", [a_span()])

    for url in (source, other, used):
        store(run, url, write)
    with pytest.raises(SetupError, match="data of its own"):
        copy(source, used)
    copy(source, target)
    with pytest.raises(SetupError, match=r"filled from .*spanloom-\d+\.db"):
        copy(other, target)
    # What a server wrote is not deleted by a further run.
    store(run, target, lambda store: store.write_spans("p", [a_span("mine")]))
    with pytest.raises(SetupError, match="a server has written"):
        copy(source, target)
    with Side.open(target, writer=False) as side:
        assert copying.count(side, "p") == 2


def test_a_source_that_is_only_partly_filled_is_refused(tmp_path: Path, run: Run[Any]) -> None:
    source, target, further = (new_url("sqlite", tmp_path) for _ in range(3))
    store(run, source, lambda store: store.write_spans("p", [a_span()]))
    kill_copies(source, target, 20)
    with pytest.raises(SetupError, match="only partly filled"):
        copy(target, further)


@BOTH_WAYS
def test_verification_finds_what_differs(tmp_path: Path, of: str, into: str) -> None:
    source, target = new_url(of, tmp_path), new_url(into, tmp_path)
    with a_server(source) as server:
        fill(server)
        server.run(server.running.store.write_spans("attaching", [a_sent("1", saying(IMAGE))]))
    copy(source, target)
    assert verify(source, target) == []
    found: set[str] = set()
    for place, damage in (
        ("project 'demo', traces", "DELETE FROM traces"),
        ("project 'demo', keys", "UPDATE keys SET role = 'admin'"),
        ("project 'attaching', spans", "DELETE FROM attachments"),
        ("project 'demo', spans", "UPDATE bodies SET adapter = 'weave'"),
    ):
        assert not [line for line in found if line.startswith(place)]
        execute(target, damage)
        found = set(verify(source, target))
        assert [line for line in found if line.startswith(place)], damage


def test_the_command_says_whether_both_are_equal(tmp_path: Path, run: Run[Any]) -> None:
    source, target = new_url("sqlite", tmp_path), new_url("sqlite", tmp_path)
    command = ["migrate-data", source, target]
    store(run, source, lambda store: store.write_spans("p", [a_span()]))
    done = CliRunner().invoke(cli, [*command, "--verify"])
    assert done.exit_code == 0, done.output
    assert f"{target} has 1 span; " in done.output
    assert "verified: both databases are equal" in done.output
    execute(target, "UPDATE spans SET name = 'other'")
    done = CliRunner().invoke(cli, [*command, "--verify", "--project", "p"])
    assert done.exit_code == 1
    assert "project 'p', spans of 1970-01-01: 1 rows here, 1 there, of other content" in done.output


def test_every_table_is_copied_or_left_out_with_a_reason() -> None:
    named = [*BY_VERSION, *BY_KEY, *LEFT_OUT]
    assert len(named) == len(set(named))
    assert set(named) == set(metadata.tables.values())


def test_parts_have_bounded_sizes() -> None:
    sizes = [sides.BYTES_AT_ONCE, 1, sides.BYTES_AT_ONCE - 1, 3, 2 * sides.BYTES_AT_ONCE, 4]
    assert list(sides.cut(range(6), sizes)) == [[0], [1, 2], [3], [4], [5]]
    assert list(sides.cut([], [])) == []


def test_postgresql_writes_large_groups_as_it_writes_small_ones(
    tmp_path: Path, run: Run[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By COPY, with the same rules: a sequence is kept, a placeholder replaces nothing."""

    async def write(store: Store) -> None:
        for turn in range(2):
            spans = [a_span(f"{n}", f"t{n % 3}", {"outputs": "é\x01\n\t\\N" * n}) for n in range(9)]
            await store.write_spans("p", [*spans, a_span("0", "t0", name=f"{turn}")], events=True)
        await store.write_spans("p", [a_span("late", "t1", parent_id="1", name="child")])
        await store.write_spans("p", [a_span("1", "t2")], events=True)
        await store.delete_trace("p", "t0")

    found = []
    for copied in (1, 10**9):
        monkeypatch.setattr(postgresql, "_COPIED", copied)
        url = new_url("postgresql", tmp_path)
        store(run, url, write)
        tables = (*BY_VERSION, metadata.tables["traces"])
        found.append({table.name: content(url, table) for table in tables})
    assert len(found[0]["spans"]) == 7
    assert found[0] == found[1]
