"""SQL that a person writes: columns on every database, messages where functions can decode them."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from bench import otlp
from spanloom.adapters.otlp.read import briefs_from
from spanloom.adapters.restore import restore
from spanloom.store.sql.by_hand import SqlError, results
from spanloom.store.store import Store
from tests.databases import DATABASES, new_url


@pytest.fixture(scope="module", params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    found: str = new_url(request.param, tmp_path_factory.mktemp("sql"))

    async def fill() -> None:
        store = await Store.open(found, restore=restore)
        message = otlp.chats(3)
        for part in briefs_from(message.resource_spans, received_ns=1, most=100):
            for span in part.spans:
                span.start_ns, span.end_ns = 1_700_000_000_123_456_789, None
            await store.write_spans("p", part.spans)
        await store.close()

    asyncio.run(fill())
    return found


def rows(url: str, statement: str) -> list[Sequence[Any]]:
    with results(url, statement, restore) as (_, found):
        return [tuple(row) for row in found]


def test_columns_are_in_a_view(url: str) -> None:
    statement = "SELECT model, input_tokens FROM v_spans WHERE name LIKE 'chat%' ORDER BY span_id"
    assert rows(url, statement) == [("gpt-4o-mini", 41), ("gpt-4o-mini", 42), ("gpt-4o-mini", 43)]


def test_times_are_readable(url: str) -> None:
    [(start, end)] = rows(url, "SELECT DISTINCT CAST(start_time AS TEXT), end_time FROM v_spans")
    assert start.replace(" ", "T").startswith("2023-11-14T22:13:20.123456")
    assert end is None


def test_messages_are_rows_on_sqlite(url: str) -> None:
    statement = (
        "SELECT direction, position, role, content FROM v_messages "
        "WHERE span_id = '0000000000000001' ORDER BY direction, position"
    )
    if url.startswith("postgresql"):
        with pytest.raises(SqlError, match="v_messages"):
            rows(url, statement)
        return
    found = rows(url, statement)
    assert [row[:3] for row in found] == [
        ("input", 0, "system"),
        ("input", 1, "user"),
        ("output", 0, "assistant"),
    ]
    assert found[0][3] == "You are helpful."
    assert re.match("[0-9a-f]{16}: ", found[2][3])


def test_a_span_is_json_on_sqlite(url: str) -> None:
    if url.startswith("sqlite"):
        statement = (
            "SELECT count(*) FROM v_spans WHERE json_extract(span_json(version), "
            "'$.genai.response_model') = 'gpt-4o-mini-2024-07-18'"
        )
        assert rows(url, statement) == [(3,)]
        assert rows(url, "SELECT span_json(0)") == [(None,)]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM spans",
        "INSERT INTO words VALUES ('x')",
        "SELECT nothing FROM spans",
        "CREATE TABLE x (y TEXT)",
        "no statement",
    ],
)
def test_a_statement_that_does_not_read_is_refused(url: str, statement: str) -> None:
    with pytest.raises(SqlError):
        rows(url, statement)
    assert rows(url, "SELECT count(*) FROM spans") == [(3,)]


def test_no_database_is_created(tmp_path: Path) -> None:
    opened: AbstractContextManager[Any] = results(f"sqlite:///{tmp_path}/x.db", "SELECT 1", restore)
    with pytest.raises(Exception, match="does not exist"), opened:
        pass
    assert not list(tmp_path.iterdir())
