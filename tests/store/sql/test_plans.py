"""Every query finds its rows by an index made for it. What the database says of the very statements
that ran."""

from __future__ import annotations

import asyncio
import re
import sqlite3
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, event, text

from spanloom.model import (
    AgentQuery,
    Chart,
    Evaluation,
    EventQuery,
    Experiment,
    Feedback,
    FeedbackQuery,
    Filter,
    SpokenQuery,
    TraceQuery,
)
from spanloom.model.summaries import ConversationQuery, SummaryQuery, TracePosition
from spanloom.model.usage import HOUR_NS, UsageQuery
from spanloom.store.sql import rows, tables
from spanloom.store.sql.migrations import migrate
from spanloom.store.sql.transaction import Transaction
from spanloom.store.store import Store
from tests.databases import DATABASES, new_url
from tests.store.conftest import Run
from tests.store.samples import a_span

Call = Callable[[Store, str], Coroutine[Any, Any, Any]]


def events(**query: Any) -> Call:
    return lambda store, project: store.find_events(project, EventQuery(limit=5, **query))


def is_(field: str) -> list[Filter]:
    return [Filter(field=field, operator="is", value="x")]


def next_events(**query: Any) -> Call:
    after = a_span("5", start_ns=5)
    return lambda store, project: store.next_events(project, EventQuery(limit=5, **query), after)


def spoken(**query: Any) -> Call:
    asked = SpokenQuery(**query)
    after = (5, 0, "t", "s")
    return lambda store, project: store.speaking_spans(project, asked, limit=5, after=after)


def chart(**query: Any) -> Call:
    hours = Chart(width_ns=3600 * 10**9, aggregation="p50", group_by="event_name")
    return lambda store, project: store.chart(project, EventQuery(**query), hours)


def summaries(order: Any = "start", after: TracePosition | None = None, **query: Any) -> Call:
    asked = SummaryQuery(order=order, **query)
    return lambda store, project: store.summaries.traces(project, asked, limit=5, after=after)


def conversations(after: tuple[int, str] | None = None, **query: Any) -> Call:
    asked = ConversationQuery(**query)
    return lambda store, project: store.summaries.conversations(
        project, asked, limit=5, after=after
    )


def count(**query: Any) -> Call:
    return lambda store, project: store.summaries.count(
        project,
        SummaryQuery(**query),
        facets=["model", "name"],
        of_root={},
        buckets=0,
        seconds=10,
    )


EXPERIMENT = Experiment(id="x", name="n", feature_slug="", created_ns=5)

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
    "events by name": (events(filters=is_("event_name")), "spans_name"),
    "events by metadata": (events(filters=is_("metadata.x")), "span_terms"),
    "events that have a path": (
        events(filters=[Filter(field="metadata.x", operator="exists", value=None)]),
        "span_terms",
    ),
    "events that contain a whole word": (
        events(filters=[Filter(field="outputs.x", operator="contains", value="a whole word")]),
        "span_terms",
    ),
    "events that contain a part of a word": (
        events(filters=[Filter(field="outputs.x", operator="contains", value="whol")]),
        "span_terms",
    ),
    "next events": (next_events(), "spans_start"),
    "next events by session": (next_events(filters=is_("session_id")), "spans_session"),
    "next events by type in range": (
        next_events(filters=is_("event_type"), since_ns=1),
        "spans_kind",
    ),
    "chart": (chart(), "spans_"),
    "chart in range": (chart(since_ns=5, until_ns=9), "spans_start"),
    "chart of a type in range": (chart(filters=is_("event_type"), since_ns=5), "spans_kind"),
    "chart of a session": (chart(filters=is_("session_id")), "spans_session"),
    "patch": (lambda s, p: s.event_patch(p, "e"), "patches_pkey"),
    "conversation": (lambda s, p: s.conversation_turns(p, "t5", limit=5), "spans_session"),
    "messages of a session": (spoken(session_id="s"), "spans_session"),
    "messages of a trace": (spoken(trace_id="t"), "spans_pkey"),
    "messages of an agent": (spoken(agent_name="a"), "spans_agent"),
    "messages": (spoken(since_ns=5), "spans_start"),
    "messages with a word": (spoken(text="hello"), "span_terms"),
    "traces by text": (
        lambda s, p: s.list_traces(p, TraceQuery(text="a whole word"), limit=5),
        "span_terms",
    ),
    "agents": (lambda s, p: s.find_agents(p, AgentQuery(order=[])), "usage_cells_pkey"),
    "agent": (
        lambda s, p: s.find_agents(p, AgentQuery(agent_name="a", order=[])),
        "usage_cells_pkey",
    ),
    "usage": (
        lambda s, p: s.usage(p, UsageQuery(edges=(0, 30 * HOUR_NS), group_by=("model",))),
        "usage_cells_pkey",
    ),
    "traces of an experiment": (
        lambda s, p: s.list_traces(p, TraceQuery(experiment_id="x"), limit=5),
        "traces_experiment",
    ),
    "traces in range": (
        lambda s, p: s.list_traces(p, TraceQuery(since_ns=5, before_ns=9), limit=5),
        "traces_start",
    ),
    "experiment": (lambda s, p: s.catalog.experiment(p, "x"), "experiments_"),
    "experiments": (lambda s, p: s.catalog.list_experiments(p, limit=5), "experiments_created"),
    "results of an experiment": (
        lambda s, p: s.catalog.experiment_results(p, EXPERIMENT),
        "traces_experiment",
    ),
    "prompts": (lambda s, p: s.catalog.prompts(p, ["x"]), "prompt_versions_pkey"),
    "evaluators": (lambda s, p: s.catalog.evaluators(p, ["x"]), "evaluators_pkey"),
    "evaluations due": (
        lambda s, p: s.evaluations.take("me", lease_ns=1, limit=5),
        "evaluations_due",
    ),
    "feedback on": (
        lambda s, p: s.feedback_on(p, [("span", "a"), ("trace", "b")]),
        "feedback_target",
    ),
    "feedback": (lambda s, p: s.find_feedback(p, type="x", limit=5), "feedback_"),
    "key": (lambda s, p: s.find_key("k"), "keys_pkey"),
    "summaries": (summaries(), "traces_start"),
    "summaries after": (summaries(after=TracePosition(0, 5, "t")), "traces_start"),
    "summaries in range": (summaries(since_ns=5, before_ns=9), "traces_start"),
    "summaries of a conversation": (summaries(conversation_id="t5"), "spans_session"),
    "summaries of an experiment": (summaries(experiment_id="x"), "traces_experiment"),
    "summaries with an error": (summaries(has_error=True), "spans_pkey"),
    "summaries with a review": (summaries(has_feedback=True), "feedback_target"),
    "summaries of a model": (summaries(model="m"), "spans_"),
    "summaries with a cost": (summaries(min_cost=1.0), "spans_pkey"),
    "summaries by cost": (summaries("cost"), "spans_pkey"),
    "summaries by duration after": (
        summaries("duration", after=TracePosition(3, 5, "t")),
        "traces_",
    ),
    "summary": (lambda s, p: s.summaries.trace(p, "t5"), "traces_pkey"),
    "counts": (count(has_error=True), "traces_start"),
    "conversations": (conversations(), "spans_start"),
    "conversations after": (conversations(after=(5, "t5")), "spans_start"),
    "conversations in range": (conversations(since_ns=5, before_ns=9), "spans_start"),
    "conversation of people": (lambda s, p: s.summaries.conversation(p, "t5"), "spans_session"),
    "traces of an experiment as cases": (
        lambda s, p: s.summaries.experiment_traces(p, "x"),
        "traces_experiment",
    ),
    "outline": (
        lambda s, p: s.summaries.outline(p, "t5", after=1, make=lambda read: list(read.shown)),
        "spans_pkey",
    ),
    "search in a trace": (
        lambda s, p: s.summaries.search(p, "t5", visit=lambda span, place: True),
        "spans_pkey",
    ),
    "present": (lambda s, p: s.summaries.present(), "spans_version"),
    "changes": (lambda s, p: s.summaries.changes(p, 5, limit=5), "spans_version"),
    "existing": (lambda s, p: s.summaries.existing(p, ["t5"]), "spans_pkey"),
    "reviews": (lambda s, p: s.list_feedback(p, FeedbackQuery(name="x"), limit=5), "feedback_"),
    "reviews of a trace": (
        lambda s, p: s.list_feedback(p, FeedbackQuery(trace_ids=["t5"]), limit=5),
        "feedback_",
    ),
    "reviews of a span": (
        lambda s, p: s.list_feedback(p, FeedbackQuery(trace_ids=["t5"], span_id="5"), limit=5),
        "feedback_target",
    ),
    "attachment": (lambda s, p: s.find_attachment(p, b"x"), "attachments_pkey"),
    "projects": (lambda s, p: s.list_projects(after="a", limit=5), "projects_pkey"),
}


@contextmanager
def noted(engine: Engine) -> Iterator[list[tuple[str, Any]]]:
    """The statements that run meanwhile, with their parameters."""
    statements: list[tuple[str, Any]] = []

    def note(_: Any, __: Any, statement: str, parameters: Any, *___: Any) -> None:
        if statement.startswith(("SELECT", "DELETE", "UPDATE", "WITH")):
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
    # A part of a word is looked for in all words: they are few. So is what has changed since the
    # sums were made, and so are cursors.
    few = {"words", "usage_cursor", "usage_retired", "usage_moved", "cursors"}
    # sums were made, and since attachments were deleted.
    few = {"words", "usage_cursor", "usage_retired", "usage_moved", "released_attachments"}
    known = [*(tables.metadata.tables.keys() - few), "event_ids", "recent_event_ids"]
    names = "|".join(known)
    whole = re.compile(rf"(SCAN|Seq Scan on) ({names})\b")
    scans = [line for line in lines if whole.search(line) or "ANY(" in line]
    plan = "\n".join(lines)
    assert not scans, plan
    # The ids of events are in tables of their own there: see `spanloom.store.sql.event_ids`.
    plan = re.sub(r"(recent_)?event_ids USING PRIMARY KEY", "spans_event", plan)
    plan = plan.replace("usage_cells USING PRIMARY KEY", "usage_cells_pkey")
    return plan.replace("sqlite_autoindex_", "").replace("_1 ", "_pkey ") if sqlite else plan


@pytest.fixture(scope="module", params=DATABASES)
def filled(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Store]:
    """Three projects of a thousand spans; known to PostgreSQL, which looks at its tables now and
    then, by ANALYZE."""
    url = new_url(request.param, tmp_path_factory.mktemp("plans"))
    with asyncio.Runner() as runner:
        store = runner.run(Store.open(url))
        for project in ("p", "q", "r"):
            spans = [
                a_span(
                    str(n),
                    f"t{n % 100}",
                    kind="model" if n % 9 else "x",
                    start_ns=n,
                    agent_name="" if n % 50 else "a",
                )
                for n in range(1_000)
            ]
            waiting = [
                Evaluation(trace_id=span.trace_id, span_id=span.span_id, evaluator="e")
                for span in spans
            ]
            runner.run(store.write_spans(project, spans, evaluations=waiting))
            on_spans = [
                Feedback(id=str(n), target="span", target_id=str(n), created_ns=n)
                for n in range(1_000)
            ]
            work = {
                tables.feedback: [rows.feedback_row(project, f) for f in on_spans],
                tables.patches: [
                    rows.patch_row(project, str(n), {"error": ""}) for n in range(1_000)
                ],
            }
            runner.run(store._write(partial(Transaction.rewrite, rows=work)))
            runner.run(store.ensure_project(project))
        runner.run(store.indexer.catch_up())
        runner.run(store.follower.catch_up())
        if request.param == "postgresql":
            runner.run(store._write(lambda t: t.connection.execute(text("ANALYZE"))))
        yield store
        runner.run(store.close())


def plan_of_reads(store: Store, run: Run[Any], call: Call) -> str:
    connections = store._connections
    engines = [reads._engine for reads in (connections.look_up, connections.read, connections.scan)]
    with ExitStack() as stack:
        all_noted = [stack.enter_context(noted(engine)) for engine in engines]
        run(call(store, "p"))
    return explain(engines[0], [statement for each in all_noted for statement in each])


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_uses_its_index(filled: Store, run: Run[Any], name: str) -> None:
    call, index = QUERIES[name]
    assert index in plan_of_reads(filled, run, call)


# Read from an index alone, whatever the size of a row.
COVERED = ("chart",)


@pytest.mark.parametrize("name", COVERED)
def test_sums_read_no_rows(filled: Store, run: Run[Any], name: str) -> None:
    call, index = QUERIES[name]
    plan = plan_of_reads(filled, run, call)
    assert re.search(rf"(COVERING INDEX|Index Only Scan using) {index}|Bitmap", plan), plan


WRITES: dict[str, tuple[Call, tuple[str, ...]]] = {
    "events created again": (
        lambda s, p: s.write_spans(p, [a_span("1", "t1")], events=True),
        ("spans_event", "patches_pkey"),
    ),
    "spans of a trace that may be sampled": (
        lambda s, p: s.write_spans(p, [a_span("1", "t1")], scan_if_sampled=["t1"]),
        ("traces_pkey",),
    ),
    "delete trace": (
        lambda s, p: s.delete_trace(p, "t1"),
        ("feedback_target", "patches_pkey", "evaluations_pkey", "traces_pkey", "spans_pkey"),
    ),
    "delete event": (
        lambda s, p: s.delete_event(p, "2"),
        ("spans_event", "patches_pkey", "evaluations_pkey", "feedback_target", "traces_pkey"),
    ),
    "delete session": (
        lambda s, p: s.delete_session(p, "t3"),
        ("spans_session", "patches_pkey", "evaluations_pkey", "feedback_target", "traces_pkey"),
    ),
    "patch": (lambda s, p: s.patch_event(p, "4", {"error": "x"}), ("patches_pkey", "spans_event")),
    "replace trace": (
        lambda s, p: s.write_trace(p, [a_span("n", "t5")], replace=True),
        ("spans_pkey", "feedback_trace", "evaluations_pkey"),
    ),
    "take evaluations": (
        lambda s, p: s.evaluations.take("me", lease_ns=1, limit=5),
        ("evaluations_due",),
    ),
    "delete evaluator": (lambda s, p: s.catalog.delete_evaluator(p, "x"), ("evaluators_pkey",)),
}


@pytest.mark.parametrize("name", WRITES)
def test_a_write_finds_what_it_changes_by_indexes(filled: Store, run: Run[Any], name: str) -> None:
    call, indexes = WRITES[name]
    with noted(filled._connections._write_engine) as statements:
        run(call(filled, "p"))
    plan = explain(filled._connections._write_engine, statements)
    for index in indexes:
        assert f"{index} " in plan, plan


def test_sqlite_is_told_of_every_index_of_a_table_or_of_none(tmp_path: Path) -> None:
    """Of one that it is not told of, it thinks better than of the others, and takes it for what
    they are there for."""
    migrate(new_url("sqlite", tmp_path))
    [file] = tmp_path.glob("*.db")
    with closing(sqlite3.connect(file)) as connection:
        told = set(connection.execute("SELECT tbl, idx FROM sqlite_stat1"))
        indexes = connection.execute(
            "SELECT tbl_name, name FROM sqlite_master WHERE type = 'index'"
        )
        of_told_tables = {row for row in indexes if row[0] in {table for table, _ in told}}
    assert told == of_told_tables
