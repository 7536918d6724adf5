"""Databases that earlier versions wrote are upgraded, and all that is in them can be read.
`make_database.py` makes the files."""

from __future__ import annotations

import gzip
import logging
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psycopg
import pytest
from google.protobuf import json_format
from sqlalchemy import make_url, text

from spanloom.model import EventQuery, Experiment, Filter, Span
from spanloom.store.sql.migrations import SchemaError, migrate
from spanloom.store.sql.reading import SPAN_NAMES
from spanloom.store.sql.urls import database
from spanloom.store.store import Store
from spanloom.v1 import (
    agent_chat_service_pb2,
    event_service_pb2,
    feedback_service_pb2,
    session_service_pb2,
    trace_service_pb2,
)
from tests.databases import new_url, select
from tests.servers import LiveServer
from tests.store.conftest import Run
from tests.store.samples import a_span

FILES = sorted(path.name for path in Path("tests/data/databases").glob("*.gz"))
PROJECT = "demo"
COLUMNS = SPAN_NAMES
VERSIONS = [
    *(("spans", "version"), ("traces", "version"), ("feedback", "version")),
    *(("prompt_tags", "version"), ("evaluators", "version"), ("datasets", "version")),
    *(("evaluations", "version"), ("dataset_rows", "sequence"), ("patches", "sequence")),
]


@pytest.fixture(params=FILES)
def old_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database as an earlier version left it."""
    _, kind, *_ = request.param.split(".")
    content = gzip.decompress(Path("tests/data/databases", request.param).read_bytes())
    url = new_url(kind, tmp_path)
    if kind == "sqlite":
        Path(str(make_url(url).database)).write_bytes(content)
    else:
        plain = make_url(url).set(drivername="postgresql").render_as_string(False)
        with psycopg.connect(plain) as connection:
            connection.execute(content)
    return url


def is_(field: str, value: Any, type: str = "string") -> Filter:
    return Filter(field=field, operator="is", value=value, type=type)


def highest_version(url: str) -> int:
    found = [select(url, f"SELECT max({column}) FROM {table}")[0][0] for table, column in VERSIONS]
    return max(version or 0 for version in found)


def test_there_is_a_file_of_each_kind() -> None:
    assert {name.split(".")[1] for name in FILES} == {"sqlite", "postgresql"}


def test_every_span_is_read_with_the_columns_that_it_had(old_url: str, run: Run[Any]) -> None:
    rows = select(old_url, f"SELECT project, {', '.join(COLUMNS)} FROM spans")
    traces = select(old_url, "SELECT project, trace_id, name, start_ns FROM traces")
    assert len(rows) > 40
    store = run(Store.open(old_url))
    for project, *values in rows:
        told = dict(zip(COLUMNS, values, strict=True))
        [span] = [
            span
            for span in run(store.trace_spans(project, told["trace_id"]))
            if span.span_id == told["span_id"]
        ]
        assert {name: getattr(span, name) for name in COLUMNS} == told
    for project in {project for project, *_ in traces}:
        listed = run(store.list_traces(project, limit=1_000))
        assert sorted((project, t.trace_id, t.name, t.start_ns) for t in listed) == sorted(
            row for row in traces if row[0] == project
        )
    run(store.close())


def test_all_else_is_read(old_url: str, run: Run[Any]) -> None:
    store = run(Store.open(old_url))
    assert run(store.event_patch(PROJECT, "event-1")) == {
        "metrics": {"score": 1},
        "feedback": {"rating": 5},
        "metadata": {"cost": 0.5},
        "error": "boom",
    }
    assert run(store.event_patch(PROJECT, "not-yet-there")) == {"metrics": {"score": 2}}
    assert run(store.find_feedback(PROJECT, limit=100)).total == 6
    assert [f.id for f in run(store.feedback_on(PROJECT, [("trace", "trace-1")]))] == ["on-trace-1"]
    keys = run(store.list_keys())
    assert sorted(key.role for key in keys) == ["admin", "admin", "read"]
    assert [key.revoked_ns for key in keys if key.role == "read"] == [1]
    versions, tags = run(store.catalog.prompts(PROJECT))
    assert [v.version for v in versions] == ["1.1.0", "1.0.0"]
    assert [(t.label, t.version) for t in tags] == [("production", "1.1.0")]
    assert [e.slug for e in run(store.catalog.evaluators(PROJECT))] == ["polite"]
    [experiment] = run(store.catalog.list_experiments(PROJECT, limit=10))
    assert isinstance(experiment, Experiment)
    assert run(store.catalog.experiment(PROJECT, experiment.id)) == experiment
    assert [d.columns for d in run(store.datasets.find(PROJECT))] == [["q", "a"]]
    rows = run(store.datasets.rows(PROJECT, "questions"))
    assert [row["values"] for row in rows] == [{"q": f"q{n}"} for n in range(3)]
    waiting = run(store.evaluations.take("me", lease_ns=10**12, limit=100))
    assert {job.evaluator for job in waiting} >= {"polite"}
    run(store.close())


def test_every_view_answers(old_url: str) -> None:
    with LiveServer(database=old_url, log_level="error", evaluate=False) as server:
        client, key = server.direct(), server.key(PROJECT)

        def call(method: str, request: Any) -> Any:
            return client.call(method, request, key=key)

        listing = trace_service_pb2.ListTracesRequest(page_size=100)
        traces = [trace.id for trace in call("TraceService/ListTraces", listing).traces]
        assert len(traces) > 10
        messages = 0
        for trace_id in traces:
            got = call(
                "TraceService/GetTrace", trace_service_pb2.GetTraceRequest(trace_id=trace_id)
            )
            assert got.trace.id == trace_id
            chat = agent_chat_service_pb2.GetTraceChatRequest(project_id=PROJECT, trace_id=trace_id)
            messages += len(call("AgentChatService/GetTraceChat", chat).messages)
        assert messages > 10
        exported = event_service_pb2.ExportEventsRequest(project=PROJECT, limit=1000)
        events = call("EventService/ExportEvents", exported).events
        assert len(events) == len(select(old_url, "SELECT 1 FROM spans WHERE project = 'demo'"))
        for session_id in {event.session_id for event in events}:
            session = session_service_pb2.GetSessionRequest(session_id=session_id)
            call("SessionService/GetSession", session)
        one = call("EventService/GetEvent", event_service_pb2.GetEventRequest(event_id="event-1"))
        assert json_format.MessageToDict(one.event.metrics) == {"score": 1}
        assert one.event.error == "boom"
        query = feedback_service_pb2.QueryFeedbackRequest(project_id=PROJECT)
        assert len(call("FeedbackService/QueryFeedback", query).result) == 6


def test_what_is_written_after_the_upgrade_is_newer(old_url: str, run: Run[Any]) -> None:
    before = highest_version(old_url)
    store = run(Store.open(old_url))
    event = run(store.find_event(PROJECT, "event-1"))
    moved = Span(
        trace_id="elsewhere",
        span_id="event-1",
        event_id="event-1",
        session_id="elsewhere",
        start_ns=event.start_ns,
    )
    run(store.write_spans(PROJECT, [moved], events=True))
    run(store.write_spans(PROJECT, [a_span("not-yet-there")], events=True))
    [found] = run(
        store.find_events(PROJECT, EventQuery(filters=[is_("event_id", "event-1")]))
    ).items
    assert (found.session_id, found.status) == ("elsewhere", "ERROR")  # with its updates
    scored = is_("metrics.score", 2, type="number")
    [late] = run(store.find_events(PROJECT, EventQuery(filters=[scored]))).items
    assert late.event_id == "not-yet-there"
    versions = select(
        old_url, "SELECT version FROM spans WHERE span_id IN ('event-1', 'not-yet-there')"
    )
    assert len(versions) == 2
    assert min(version for (version,) in versions) > before
    run(store.close())


KILLED = """
import os, signal, sys
from spanloom.store.sql.migrations import migrate, move_bodies
move_bodies._BATCH = 7
move, batches = move_bodies._move, []
def killed(*arguments):
    move(*arguments)
    batches.append(1)
    if len(batches) == 3:
        os.kill(os.getpid(), signal.SIGKILL)
move_bodies._move = killed
migrate(sys.argv[1])
"""


def test_a_migration_that_is_killed_continues_where_it_was(
    old_url: str, run: Run[Any], caplog: pytest.LogCaptureFixture
) -> None:
    [(number,)] = select(old_url, "SELECT count(*) FROM spans")
    killed = subprocess.run([sys.executable, "-c", KILLED, old_url], check=False)
    assert killed.returncode == -signal.SIGKILL
    # Two batches were committed, and no version of the program takes this for a whole database.
    assert select(old_url, "SELECT count(*) FROM bodies") == [(14,)]
    with pytest.raises(SchemaError, match="run `spanloom migrate`"):
        run(Store.open(old_url, migrate=False))
    caplog.set_level(logging.INFO, "spanloom.store")
    migrate(old_url)
    assert f"the bodies of {number - 14} spans were moved" in caplog.messages
    assert select(old_url, "SELECT count(*) FROM bodies") == [(number,)]
    store = run(Store.open(old_url, migrate=False))
    projects = [project for (project,) in select(old_url, "SELECT DISTINCT project FROM spans")]
    read = [run(store.find_events(project, EventQuery())).items for project in projects]
    assert sum(map(len, read)) == number
    run(store.close())


def test_rows_of_one_version_keep_bodies_of_their_own(old_url: str, run: Run[Any]) -> None:
    """Clocks gave versions once."""
    engine = database(old_url).engine(writer=True, connections=1)
    with engine.begin() as connection:
        connection.execute(text("UPDATE spans SET version = 1"))
    engine.dispose()
    bodies = select(old_url, "SELECT span_id, body FROM spans WHERE project = 'demo'")
    store = run(Store.open(old_url))
    found = {span.event_id for span in run(store.find_events(PROJECT, EventQuery())).items}
    assert len(found) == len(bodies)
    assert len(select(old_url, "SELECT DISTINCT version FROM spans")) == len(
        select(old_url, "SELECT 1 FROM bodies")
    )
    run(store.close())
