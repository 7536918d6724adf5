"""A disk that is full, or that lost what it had: what callers and operators see on SQLite."""

from __future__ import annotations

import logging
import resource
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from spanloom.errors import Code, SpanloomError
from spanloom.store.store import Store
from tests.clients import until
from tests.server.test_kill import Process
from tests.store.conftest import Run
from tests.store.samples import a_span


def test_a_full_disk_refuses_writes_until_there_is_space(tmp_path: Path) -> None:
    server = Process(f"sqlite:///{tmp_path}/spanloom.db")
    headers = {"authorization": f"Bearer {server.key}", "x-spanloom-project": "p"}
    client = httpx.Client(
        base_url=f"http://{server.http}", headers=headers, timeout=60, trust_env=False
    )

    def write(number: int) -> int:
        events = [
            {"event_id": f"{number}-{n}", "event_type": "tool", "session_id": f"s{number}"}
            for n in range(500)
        ]
        return client.post("/events/batch", json={"events": events}).status_code

    def stored(number: int) -> bool:
        return client.get(f"/v1/events/{number}-0").status_code == 200

    def limit_files(size: int) -> None:
        """The size that no file of the server may outgrow; as a full disk, it cuts a write."""
        process = psutil.Process(server.process.pid)
        for each in (process, *process.children(recursive=True)):
            each.rlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    assert write(0) == 200
    limit_files(max(file.stat().st_size for file in tmp_path.iterdir()) + 8192)
    # Some writes may still fit into the log.
    answers = [write(0)]
    while answers[-1] == 200 and len(answers) < 50:
        answers.append(write(len(answers)))
    assert answers[-1] == 503
    assert stored(0)
    limit_files(resource.RLIM_INFINITY)
    answers.append(write(len(answers)))
    assert answers[-1] == 200
    assert [stored(n) for n, _ in enumerate(answers)] == [code == 200 for code in answers]
    assert server.stop() == 0
    client.close()


def open_store(run: Run[Any], file: Path) -> Store:
    store: Store = run(Store.open(f"sqlite:///{file}"))
    return store


def overwrite_pages(file: Path) -> None:
    """The pages of the table of spans, but not the schema."""
    connection = sqlite3.connect(file)
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    roots = connection.execute("SELECT rootpage FROM sqlite_master WHERE tbl_name = 'spans'")
    places = [size * (root - 1) for (root,) in roots if root]
    # What is still in the log would be read from there.
    checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)"
    until(lambda: connection.execute(checkpoint).fetchone()[0] == 0, 30)
    connection.close()
    with file.open("r+b") as open_file:
        for place in places:
            open_file.seek(place)
            open_file.write(b"\xff" * size)


def overwrite_all(file: Path) -> None:
    file.write_bytes(b"\xff" * file.stat().st_size)


@pytest.mark.parametrize("damage", [overwrite_pages, overwrite_all])
def test_a_damaged_file_names_the_way_to_restore(
    damage: Callable[[Path], None],
    tmp_path: Path,
    run: Run[Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    file = tmp_path / "spanloom.db"
    store = open_store(run, file)
    run(store.write_spans("p", [a_span()]))
    run(store.close())
    store = open_store(run, file)
    damage(file)
    caplog.set_level(logging.ERROR, "spanloom.store")
    with pytest.raises(SpanloomError) as failed:
        run(store.trace_spans("p", "t"))
    assert failed.value.code is Code.UNAVAILABLE
    assert any("damaged" in text and "restore" in text for text in caplog.messages)
    run(store.close())
