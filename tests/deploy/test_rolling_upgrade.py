"""Servers of two versions on one database: the older ones go on while a newer one upgrades the
tables, serves beside them, and replaces them."""

from __future__ import annotations

import io
import itertools
import os
import shutil
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest

from spanloom.store.sql import migrations
from tests.clients import until
from tests.databases import DATABASES, new_url, select
from tests.processes import EVENTS, Served

ROOT = Path(__file__).resolve().parent.parent.parent
NEXT = f"{int(migrations.HEAD) + 1:04}"
# What CONTRIBUTING.md lets a migration do.
MIGRATION = f'''
from alembic import op
from sqlalchemy import BigInteger, Column, Text

revision = "{NEXT}"
down_revision = "{migrations.HEAD}"


def upgrade() -> None:
    op.create_table("of_the_next", Column("name", Text, primary_key=True))
    op.add_column("spans", Column("of_the_next", BigInteger, server_default="0", nullable=False))
    op.add_column("keys", Column("of_the_next", Text))
    op.create_index("of_the_next_spans", "spans", ["of_the_next", "trace_id"])
'''


def this_version(_: Path) -> Path:
    return ROOT / "src"


def next_version(home: Path) -> Path:
    """A copy of the program with one more migration."""
    source = home / "next"
    shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__", "static"))
    steps = source / "spanloom" / "store" / "sql" / "migrations"
    (steps / "versions" / f"v{NEXT}_of_the_next.py").write_text(MIGRATION)
    module = steps / "__init__.py"
    head = f'HEAD = "{migrations.HEAD}"'
    assert head in module.read_text()
    module.write_text(module.read_text().replace(head, f'HEAD = "{NEXT}"'))
    return source


def _git(*arguments: str) -> bytes:
    done = subprocess.run(("git", *arguments), cwd=ROOT, capture_output=True)
    return b"" if done.returncode else done.stdout


def of_tag(tag: str) -> Callable[[Path], Path]:
    def version(home: Path) -> Path:
        """The program of a release."""
        with tarfile.open(fileobj=io.BytesIO(_git("archive", tag, "src"))) as archive:
            archive.extractall(home / tag, filter="data")
        return home / tag / "src"

    return version


RELEASES = _git("describe", "--tags", "--abbrev=0", "--match", "v*").decode().split()
PAIRS = [(this_version, next_version), *((of_tag(tag), this_version) for tag in RELEASES)]


class Load:
    """Writes batches to servers from threads until it is stopped. `written` has the numbers of
    those that were acknowledged, `refused` the status codes of all others."""

    def __init__(self, servers: list[Served]) -> None:
        self.written: list[int] = []
        self.refused: set[int] = set()
        self.servers = servers
        self._numbers = itertools.count()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(3)]
        for thread in self._threads:
            thread.start()

    def _run(self) -> None:
        while not self._stop.is_set():
            number = next(self._numbers)
            try:
                answer = self.servers[number % len(self.servers)].write(number)
            except httpx.TransportError:  # the server is stopped
                continue
            if answer.status_code == 200:
                self.written.append(number)
            else:
                self.refused.add(answer.status_code)

    def goes_on(self) -> None:
        before = len(self.written)
        until(lambda: len(self.written) >= before + 20, 60)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(60)


@pytest.mark.parametrize("kind", DATABASES)
@pytest.mark.parametrize("versions", PAIRS, ids=["next", *RELEASES])
def test_a_newer_version_replaces_an_older_one(
    kind: str, versions: tuple[Callable[[Path], Path], Callable[[Path], Path]], tmp_path: Path
) -> None:
    old, new = (
        {**os.environ, "PYTHONPATH": os.pathsep.join((str(version(tmp_path)), str(ROOT)))}
        for version in versions
    )
    database = new_url(kind, tmp_path)
    older = Served(database, tmp_path / "old", workers=2, environ=old)
    running = [older]
    load = Load(running)
    try:
        load.goes_on()
        newer = Served(database, tmp_path / "new", workers=1, key=older.key, environ=new)
        running.append(newer)  # both take writes
        load.goes_on()
        # A worker of the older version that dies is replaced, also beside the newer schema.
        supervisor = psutil.Process(older.process.pid)
        first = min(p.pid for p in supervisor.children() if p.nice() == supervisor.nice())
        psutil.Process(first).kill()
        until(lambda: "a new one starts" in older.log.read_text(), 60)
        load.goes_on()
        for served in running:
            seen = load.written[-20:]
            assert [served.stored(number) for number in seen] == [EVENTS] * len(seen)
        load.servers = [newer]
        assert older.stop() == 0
        load.goes_on()
    finally:
        load.stop()
        for served in running:
            served.stop()
    assert load.refused <= {503}
    assert older.log.read_text().count("exited with status") == 1
    assert "Traceback" not in older.log.read_text() + newer.log.read_text()
    events = "SELECT count(DISTINCT event_id) FROM spans WHERE session_id IN ({})"
    sessions = ", ".join(f"'s{number}'" for number in load.written)
    [[number]] = select(database, events.format(sessions))
    assert number == EVENTS * len(load.written)
    if versions[1] is next_version:
        refused = subprocess.run(
            [sys.executable, "-m", "spanloom", "serve", "--database", database],
            env=old,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert refused.returncode == 1
        assert f"at step {NEXT}" in refused.stderr
        assert "install a newer version" in refused.stderr
