"""Making the tables, and opening databases that do not have them."""

from __future__ import annotations

import logging
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from spanloom.errors import SetupError, SpanloomError
from spanloom.store.sql import migrations
from spanloom.store.sql.database import PATIENCE_SECONDS
from spanloom.store.sql.migrations import HEAD, SchemaError, migrate
from spanloom.store.sql.tables import metadata
from spanloom.store.sql.urls import database
from spanloom.store.store import Store
from tests.databases import DATABASES, new_url, select
from tests.store.conftest import Run
from tests.store.samples import a_span


def execute(url: str, statement: str) -> None:
    engine = database(url).engine(writer=True, connections=1)
    with engine.begin() as connection:
        connection.execute(text(statement))
    engine.dispose()


def test_the_steps_make_the_tables_that_the_code_knows(empty_url: str) -> None:
    migrate(empty_url)
    engine = database(empty_url).engine(writer=False, connections=1)
    with engine.connect() as connection:
        # The counter and the ids of events are SQLite's alone: PostgreSQL has a sequence and an
        # index. The terms of spans are FTS5's on one and an array on the other.
        own = re.compile("sequences|span_terms.*|(recent_)?event_ids")
        options = {
            "compare_type": True,
            "include_name": lambda name, *_: not own.fullmatch(name or ""),
            "include_object": lambda made, *_: (
                empty_url.startswith("postgresql") or made.name != "spans_event"
            ),
        }
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []
    engine.dispose()


def test_the_newest_step_is_the_one_the_code_knows() -> None:
    steps = ScriptDirectory(str(Path(migrations.__file__).parent))
    assert steps.get_heads() == [HEAD]


def test_migrating_again_changes_nothing(empty_url: str, run: Run[Any]) -> None:
    migrate(empty_url)
    store = run(Store.open(empty_url, migrate=False))
    run(store.write_spans("p", [a_span()]))
    run(store.close())
    migrate(empty_url)
    store = run(Store.open(empty_url))
    assert run(store.trace_spans("p", "t")) == [a_span()]
    run(store.close())


def test_a_database_of_the_step_before_is_taken_on(empty_url: str) -> None:
    target = database(empty_url)
    target.create()
    migrations._take_to(target, "0004")
    migrate(empty_url)
    assert select(empty_url, "SELECT version_num FROM alembic_version") == [(HEAD,)]
    assert select(empty_url, "SELECT reached FROM term_cursor") == [(0,)]


@pytest.mark.parametrize("kind", DATABASES)
def test_any_number_may_migrate_at_once(kind: str, tmp_path: Path) -> None:
    url = new_url(kind, tmp_path)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(migrate, [url] * 4))
    url = new_url(kind, tmp_path)
    code = "import sys; from spanloom.store.sql.migrations import migrate; migrate(sys.argv[1])"
    processes = [subprocess.Popen([sys.executable, "-c", code, url]) for _ in range(2)]
    assert [process.wait(PATIENCE_SECONDS) for process in processes] == [0, 0]


def test_a_database_of_today_starts_without_alembic(empty_url: str) -> None:
    migrate(empty_url)
    code = """
import asyncio, sys
from spanloom.store.store import Store
async def start():
    store = await Store.open(sys.argv[1])
    await store.close()
asyncio.run(start())
assert "alembic" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code, empty_url], check=True, timeout=PATIENCE_SECONDS)


def test_without_migrating_a_database_has_to_be_of_today(empty_url: str, run: Run[Any]) -> None:
    with pytest.raises(SetupError, match=r"no tables yet: run|the file .* does not exist"):
        run(Store.open(empty_url, migrate=False))
    migrate(empty_url)
    execute(empty_url, "UPDATE alembic_version SET version_num = '0000'")
    with pytest.raises(SchemaError, match=r"at step 0000, .*: run `spanloom migrate`"):
        run(Store.open(empty_url, migrate=False))


def test_a_database_of_a_newer_version_is_left_alone(empty_url: str, run: Run[Any]) -> None:
    migrate(empty_url)
    execute(empty_url, "UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(SchemaError, match="9999, which this version of Spanloom does not know"):
        run(Store.open(empty_url))


def test_a_step_that_fails_leaves_nothing(empty_url: str, run: Run[Any]) -> None:
    execute(empty_url, "CREATE TABLE keys (id TEXT)")  # in the way of the first step's last table
    with pytest.raises(SpanloomError, match="not available"):
        run(Store.open(empty_url))
    execute(empty_url, "DROP TABLE keys")
    store = run(Store.open(empty_url))
    assert run(store.list_keys()) == []
    run(store.close())


def test_a_directory_is_made_for_the_file(tmp_path: Path, run: Run[Any]) -> None:
    file = tmp_path / "some" / "where" / "spanloom.db"
    run(run(Store.open(f"sqlite:///{file}")).close())
    assert file.exists()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("", "not a database URL"),
        ("spanloom.db", "not a database URL"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("sqlite:///file:spanloom.db?uri=true", "needs a file"),
        ("mysql://user:secret@host/db", "the database 'mysql' is not supported"),
        ("postgresql+asyncpg://user:secret@host/db", "the database 'postgresql"),
    ],
)
def test_a_url_has_to_name_a_database(url: str, says: str, run: Run[Any]) -> None:
    with pytest.raises(ValueError, match=says) as refused:
        run(Store.open(url))
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["postgresql://u@127.0.0.1:1/x", "sqlite:////proc/spanloom/x.db"], ids=["server", "file"]
)
def test_a_database_that_cannot_be_reached_is_unavailable(
    url: str, run: Run[Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL, "spanloom.store")
    with pytest.raises(SpanloomError) as refused:
        run(Store.open(url))
    assert refused.value.code == "UNAVAILABLE"


def test_the_control_store_is_in_the_same_database(empty_url: str, run: Run[Any]) -> None:
    run(run(Store.open(empty_url, control_url=empty_url)).close())
    spelled = empty_url.replace("postgresql+psycopg:", "postgresql:")
    run(run(Store.open(empty_url, control_url=spelled)).close())
    other = "postgresql+psycopg://user:secret@host/other"
    with pytest.raises(SetupError, match="not supported yet") as refused:
        run(Store.open(empty_url, control_url=other))
    assert "secret" not in str(refused.value)
