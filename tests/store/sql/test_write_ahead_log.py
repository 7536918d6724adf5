"""What SQLite drops of a damaged log, and pages that are damaged, are reported."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from spanloom.errors import SpanloomError
from spanloom.store.sql.write_ahead_log import frames, report_damage
from spanloom.store.store import Store
from tests.store.conftest import Run
from tests.store.samples import a_span

FRAME = 24 + 8192


@pytest.fixture
def crashed(tmp_path: Path, run: Run[Any]) -> Path:
    """The files of a store that ended without closing them, with ten commits in the log."""
    store = run(Store.open(f"sqlite:///{tmp_path}/a.db"))
    for number in range(10):
        run(store.write_spans("p", [a_span(str(number))]))
    copy = tmp_path / "copy"
    copy.mkdir()
    for end in ("", "-wal"):
        shutil.copy(tmp_path / f"a.db{end}", copy / f"b.db{end}")
    run(store.close())
    return copy / "b.db"


def damage(path: Path, at: int) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        old = file.read(1)
        file.seek(at)
        file.write(bytes([old[0] ^ 0xFF]))


def reported(database: Path, caplog: pytest.LogCaptureFixture) -> list[str]:
    caplog.clear()
    with caplog.at_level(logging.ERROR, "spanloom.store"):
        report_damage(database)
    return [record.getMessage() for record in caplog.records]


def spans(database: Path, run: Run[Any]) -> int:
    store = run(Store.open(f"sqlite:///{database}"))
    number = len(run(store.trace_spans("p", "t")))
    run(store.close())
    return number


def test_a_log_that_is_whole_is_not_reported(
    crashed: Path, run: Run[Any], caplog: pytest.LogCaptureFixture
) -> None:
    found = frames(Path(f"{crashed}-wal"))
    assert found is not None
    assert found.number >= found.last_commit > 10
    assert reported(crashed, caplog) == []
    assert spans(crashed, run) == 10
    assert reported(crashed.parent / "none.db", caplog) == []


def test_a_transaction_that_was_not_committed_is_not_damage(
    crashed: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = Path(f"{crashed}-wal")
    found = frames(log)
    assert found is not None
    # Cut within the last transaction: its commit is not there.
    os.truncate(log, 32 + (found.last_commit - 1) * FRAME + 100)
    assert reported(crashed, caplog) == []


@pytest.mark.parametrize("part", ["page", "salt", "checksum", "header"])
def test_what_is_dropped_of_a_damaged_log_is_reported(
    crashed: Path, run: Run[Any], caplog: pytest.LogCaptureFixture, part: str
) -> None:
    log = Path(f"{crashed}-wal")
    found = frames(log)
    assert found is not None
    middle = 32 + found.number // 2 * FRAME
    places = {"page": 1000, "salt": 9, "checksum": 17}
    damage(log, 17 if part == "header" else middle + places[part])
    read = 0 if part == "header" else found.number // 2
    [message] = reported(crashed, caplog)
    assert "restore a backup" in message
    # SQLite reads up to the last commit before the damage.
    told = int(message.split("SQLite read ")[1].split()[0])
    assert f"of its {found.number} frames" in message
    assert 0 <= read - told < found.number // 2


def test_pages_that_are_damaged_name_the_way_to_restore(
    tmp_path: Path, run: Run[Any], caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "a.db"
    store = run(Store.open(f"sqlite:///{file}"))
    run(store.write_spans("p", [a_span(str(number)) for number in range(300)]))
    run(store.close())
    with sqlite3.connect(file) as connection:
        [root] = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'spans'"
        ).fetchone()
    connection.close()
    damage(file, (root - 1) * 8192)
    store = run(Store.open(f"sqlite:///{file}"))
    with caplog.at_level(logging.ERROR, "spanloom.store"), pytest.raises(SpanloomError):
        run(store.trace_spans("p", "t"))
    assert "the database is damaged: stop the server and restore a backup" in caplog.text
    run(store.close())
