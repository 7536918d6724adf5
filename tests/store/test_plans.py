"""Every query finds its rows by an index made for it. What the database says of the very statements that ran."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from spanloom.model import EventQuery, Feedback, Filter
from spanloom.store import rows, tables
from spanloom.store.migrations import migrate
from spanloom.store.store import Store
from tests.databases import DATABASES, new_url
from tests.store.conftest import Run
from tests.store.samples import a_span

Call = Callable[[Store, str], Coroutine[Any, Any, Any]]


def events(**query: Any) -> Call:
    return lambda store, project: store.find_events(project, EventQuery(limit=5, **query))


def is_(field: str) -> list[Filter]:
    return [Filter(field=field, operator="is", value="x")]


# Where any index of the project will do, the name stops at the table's.
QUERIES: dict[str, tuple[Call, str]] = {
    "trace": (lambda s, p: s.trace_spans(p, "t"), "spans_pkey"),
    "session": (lambda s, p: s.session_spans(p, "s"), "spans_session"),
    "event": (lambda s, p: s.find_event(p, "e"), "spans_event"),
    "traces": (lambda s, p: s.list_traces(p, limit=5), "traces_start"),
    "traces after": (lambda s, p: s.list_traces(p, limit=5, after=(5, "t")), "traces_start"),
    "events": (events(), "spans_start"),
    "events, later page": (events(page=3), "spans_start"),
    "events in range": (events(since_ns=5, until_ns=9), "spans_start"),
    "events by id": (events(filters=is_("event_id")), "spans_event"),
    "events by session": (events(filters=is_("session_id")), "spans_session"),
    "events by type": (events(filters=is_("event_type")), "spans_kind"),
    "events by type in range": (events(filters=is_("event_type"), since_ns=5), "spans_kind"),
    "events by name": (events(filters=is_("event_name")), "spans_"),
    "events by metadata": (events(filters=is_("metadata.x")), "spans_"),
    "totals": (lambda s, p: s.session_totals(p, ["s", "t"]), "spans_session"),
    "feedback on": (
        lambda s, p: s.feedback_on(p, [("span", "a"), ("trace", "b")]),
        "feedback_target",
    ),
    "feedback": (lambda s, p: s.find_feedback(p, type="x", limit=5), "feedback_"),
    "key": (lambda s, p: s.find_key("k"), "keys_pkey"),
    "project": (lambda s, p: s.has_project(p), "projects_pkey"),
}


@contextmanager
def noted(engine: Engine) -> Iterator[list[tuple[str, Any]]]:
    """The statements that run meanwhile, with their parameters."""
    statements: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if statement.startswith(("SELECT", "DELETE")):
            statements.append((statement, parameters))

    event.listen(engine, "before_cursor_execute", note)
    yield statements
    event.remove(engine, "before_cursor_execute", note)


def explain(engine: Engine, statements: list[tuple[str, Any]]) -> str:
    assert statements
    sqlite = engine.dialect.name == "sqlite"
    explain = "EXPLAIN QUERY PLAN" if sqlite else "EXPLAIN"
    with engine.connect() as connection:
        if not sqlite:  # a table as small as these is quicker read whole
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        lines = [
            str(row[-1])
            for statement, parameters in statements
            for row in connection.exec_driver_sql(f"{explain} {statement}", parameters)
        ]
    # The parameters of a statement are a virtual table, for SQLite.
    scans = [
        line for line in lines if ("SCAN" in line and "VIRTUAL" not in line) or "Seq Scan" in line
    ]
    plan = "\n".join(lines)
    assert not scans, plan
    return plan.replace("sqlite_autoindex_", "").replace("_1 ", "_pkey ") if sqlite else plan


@pytest.fixture(scope="module", params=DATABASES)
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    """Three projects of a thousand spans; known to PostgreSQL, which looks at its tables now and then, by ANALYZE."""
    url = new_url(request.param, tmp_path_factory.mktemp("plans"))
    with asyncio.Runner() as runner:
        store = runner.run(Store.open(url))
        for project in ("p", "q", "r"):
            spans = [
                a_span(str(n), f"t{n % 100}", kind="model" if n % 9 else "x", start_ns=n)
                for n in range(1_000)
            ]
            runner.run(store.write_spans(project, spans))
            on_spans = [
                Feedback(id=str(n), target="span", target_id=str(n), created_ns=n)
                for n in range(1_000)
            ]
            work = {tables.feedback: [rows.feedback_row(project, f, 1) for f in on_spans]}
            runner.run(store._writer.write(work))
            runner.run(store.ensure_project(project))
        if request.param == "postgresql":
            runner.run(store._writer.write(lambda c: c.execute(text("ANALYZE"))))
        yield store
        runner.run(store.close())


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_uses_its_index(filled: Store, run: Run[Any], name: str) -> None:
    call, index = QUERIES[name]
    with noted(filled._read_engine) as statements:
        run(call(filled, "p"))
    assert index in explain(filled._read_engine, statements)


def test_deleting_a_trace_uses_indexes(filled: Store, run: Run[Any]) -> None:
    with noted(filled._write_engine) as statements:
        run(filled.delete_trace("p", "t1"))
    plan = explain(filled._write_engine, statements)
    for index in ("feedback_target", "traces_pkey", "spans_pkey"):
        assert f"{index} " in plan, plan


def test_sqlite_is_told_of_every_index_of_a_table_or_of_none(tmp_path: Path) -> None:
    """Of one that it is not told of, it thinks better than of the others, and takes it for what they are there for."""
    migrate(new_url("sqlite", tmp_path))
    [file] = tmp_path.glob("*.db")
    with closing(sqlite3.connect(file)) as connection:
        told = set(connection.execute("SELECT tbl, idx FROM sqlite_stat1"))
        indexes = connection.execute(
            "SELECT tbl_name, name FROM sqlite_master WHERE type = 'index'"
        )
        of_told_tables = {row for row in indexes if row[0] in {table for table, _ in told}}
    assert told == of_told_tables
