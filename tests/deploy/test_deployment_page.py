"""What docs/deployment.md says is done: its backups are whole, and its files are there."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from tests.servers import LiveServer

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "deployment.md"
DATABASE, COPY = "/var/lib/spanloom/spanloom.db", "/var/lib/spanloom/backup.db"


def backups() -> list[str]:
    blocks = re.findall(r"^```text\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return [block.strip() for block in blocks if "VACUUM INTO" in block]


@pytest.mark.parametrize("command", backups(), ids=lambda c: c.split()[0])
def test_a_backup_of_a_running_server_has_all_that_was_acknowledged(
    command: str, tmp_path: Path
) -> None:
    words = shlex.split(command)
    words[0] = sys.executable if words[0] == "python" else words[0]
    if shutil.which(words[0]) is None:
        pytest.skip(f"no {words[0]} on this machine")
    database, copy = tmp_path / "spanloom.db", tmp_path / "backup.db"
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
        words = [w.replace(DATABASE, str(database)).replace(COPY, str(copy)) for w in words]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60)
        stop.set()
        writer.join(30)
    assert done.returncode == 0, done.stderr
    with LiveServer(database=f"sqlite:///{copy}", log_level="error") as server:
        address = f"http://{server.running.http_address}"
        headers = {"authorization": f"Bearer {key}"}
        with httpx.Client(base_url=address, headers=headers, trust_env=False) as http:
            for trace in acknowledged[:before]:
                assert http.get(f"/v1/traces/{trace}").status_code == 200


def test_both_ways_to_back_up_are_tried() -> None:
    assert [command.split()[0] for command in backups()] == ["sqlite3", "python"]


def test_the_files_that_it_names_are_there() -> None:
    named = set(re.findall(r"(?<![\w/.])deploy/[\w./-]*\w", PAGE.read_text()))
    assert len(named) > 5
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_file_of_deploy_is_named_there() -> None:
    text = PAGE.read_text()
    kinds = {path.name for path in (ROOT / "deploy").iterdir()}
    assert [kind for kind in kinds if f"deploy/{kind}" not in text] == []
