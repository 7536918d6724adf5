"""Every query finds its rows by an index made for it. What the database says of the very statements that ran."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from sqlalchemy import Connection, Engine, event

from spanloom.model import EventQuery, Feedback, Filter
from spanloom.store import queries
from spanloom.store.store import Store
from tests.store.conftest import Run
from tests.store.samples import a_span

Call = Callable[[Store, str], Coroutine[Any, Any, Any]]


def events(**query: Any) -> Call:
    return lambda store, project: store.find_events(project, EventQuery(limit=5, **query))


def is_(field: str) -> list[Filter]:
    return [Filter(field=field, operator="is", value="x")]


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
    "events by name": (events(filters=is_("event_name")), "spans_start"),
    "events by metadata": (events(filters=is_("metadata.x")), "spans_start"),
    "totals": (lambda s, p: s.session_totals(p, ["s", "t"]), "spans_session"),
    "feedback on": (lambda s, p: s.feedback_on(p, [("span", "a"), ("trace", "b")]), "feedback_target"),
    "feedback": (lambda s, p: s.find_feedback(p, type="x", limit=5), "feedback_pkey"),
    "key": (lambda s, p: s.find_key("k"), "keys_pkey"),
    "project": (lambda s, p: s.has_project(p), "projects_pkey"),
}
SQLITE_NAMES = {f"{table}_pkey": f"sqlite_autoindex_{table}_1" for table in ("spans", "traces", "feedback", "keys", "projects")}


def explain(engine: Engine, statements: list[tuple[str, Any]]) -> str:
    sqlite = engine.dialect.name == "sqlite"
    with engine.connect() as connection:
        if not sqlite:  # a table of few rows is read whole unless that is forbidden
            connection.exec_driver_sql("SET enable_seqscan = off")
        return "\n".join(
            " ".join(str(value) for value in row)
            for statement, parameters in statements
            for row in connection.exec_driver_sql(
                f"EXPLAIN {'QUERY PLAN ' if sqlite else ''}{statement}", parameters
            )
        )


@pytest.fixture
def filled(store: Store, run: Run[Any], project: str) -> str:
    spans = [a_span(str(n), f"t{n % 20}", kind="model", start_ns=n) for n in range(200)]
    run(store.write_spans(project, spans))
    run(store.write_feedback(project, Feedback(id="f")))
    return project


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_uses_its_index(store: Store, run: Run[Any], filled: str, name: str) -> None:
    call, index = QUERIES[name]
    statements: list[tuple[str, Any]] = []

    @event.listens_for(store._read_engine, "before_cursor_execute")
    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if statement.startswith("SELECT"):
            statements.append((statement, parameters))

    run(call(store, filled))
    event.remove(store._read_engine, "before_cursor_execute", note)
    assert statements
    plan = explain(store._read_engine, statements)
    if store._read_engine.dialect.name == "sqlite":
        index = SQLITE_NAMES.get(index, index)
        assert not any(
            line.split(" ", 3)[3].startswith("SCAN") and "json_each" not in line
            for line in plan.splitlines()
        ), plan
    assert "Seq Scan" not in plan, plan
    assert index in plan, plan


def test_deleting_a_trace_uses_indexes(store: Store, run: Run[Any], filled: str) -> None:
    statements: list[tuple[str, Any]] = []

    def delete(connection: Connection) -> None:
        for statement in queries.trace_deletes(filled, "t1"):
            compiled = statement.compile(connection)
            statements.append((str(compiled), compiled.params))

    run(store._writer.write(delete))
    if store._read_engine.dialect.name == "sqlite":
        statements = [(s, tuple(p.values())) for s, p in statements]
    plan = explain(store._write_engine, statements)
    assert "Seq Scan" not in plan, plan
    assert "SCAN" not in plan, plan
    for index in ("feedback_target", "traces_pkey", "spans_pkey"):
        assert (index in plan) or (SQLITE_NAMES.get(index, index) in plan), plan
