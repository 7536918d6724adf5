"""PostgreSQL behind PgBouncer in transaction mode: each transaction may have another session."""

from __future__ import annotations

import getpass
import shutil
import socket
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path

import httpx
import psycopg
import pytest
from sqlalchemy import URL, make_url

from spanloom.store.sql.database import Database
from spanloom.store.sql.urls import database
from tests.clients import until
from tests.databases import new_url
from tests.servers import LiveServer

SESSIONS = 3
CLIENTS = 6
ROUNDS = 12
CONFIGURATION = """
[databases]
{name} = host={directory} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = {sessions}
"""


@pytest.fixture
def direct(tmp_path: Path) -> URL:
    """The URL of the database without the pooler."""
    return make_url(new_url("postgresql", tmp_path))


@pytest.fixture
def pooled(direct: URL, tmp_path: Path) -> Iterator[URL]:
    program = shutil.which("pgbouncer")
    if program is None:
        pytest.skip("pgbouncer is not installed")
    directory = Path(str(direct.query["host"]))
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        port = free.getsockname()[1]
    file = tmp_path / "pgbouncer.ini"
    file.write_text(
        CONFIGURATION.format(
            name=direct.database,
            directory=directory,
            user=direct.username,
            port=port,
            sessions=SESSIONS,
        )
    )
    # It does not run as root, and the server's directory has an owner who may enter it.
    user = ["-u", directory.owner()] if getpass.getuser() == "root" else []
    pooler = subprocess.Popen(
        [program, *user, str(file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = direct.set(host="127.0.0.1", port=port, query={})
    until(lambda: _answers(url), 30)
    yield url
    pooler.kill()
    pooler.wait()


def _answers(url: URL) -> bool:
    with suppress(psycopg.OperationalError), psycopg.connect(_plain(url)):
        return True
    return False


def _plain(url: URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def test_a_server_works_on_sessions_that_are_not_its_own(direct: URL, pooled: URL) -> None:
    with LiveServer(database=pooled.render_as_string(hide_password=False)) as server:
        headers = {"authorization": f"Bearer {server.key('p')}"}

        def work(client_number: int) -> None:
            with httpx.Client(
                base_url=f"http://{server.running.http_address}",
                headers=headers,
                timeout=60,
                trust_env=False,
            ) as client:
                for number in range(ROUNDS):
                    round_of(client, f"{client_number}-{number}")

        with ThreadPoolExecutor(CLIENTS) as threads:
            list(threads.map(work, range(CLIENTS)))
        with psycopg.connect(_plain(direct)) as connection:
            query = "SELECT count(*) FROM pg_stat_activity WHERE datname = %s"
            row = connection.execute(query, [direct.database]).fetchone()
        # With this one. The server has a dozen connections, and more than one session was used.
        assert row
        assert 2 < row[0] <= SESSIONS + 1


def round_of(client: httpx.Client, name: str) -> None:
    """What a client writes it finds, changes and deletes."""
    events = [
        {"event_id": f"{name}-{n}", "event_type": "tool", "session_id": name, "metadata": {"n": n}}
        for n in range(3)
    ]
    assert client.post("/events/batch", json={"events": events}).status_code == 200
    update = {"event_id": f"{name}-0", "metrics": {"score": 7}}
    assert client.put("/events", json=update).status_code == 200
    found = client.get(f"/v1/events/{name}-0").json()
    assert found.get("event", found)["metrics"] == {"score": 7}
    filters = [{"field": "session_id", "operator": "is", "value": name, "type": "string"}]
    assert client.post("/events/export", json={"filters": filters}).json()["totalEvents"] == 3
    streamed = client.post("/v1/events/stream", json={"filters": filters})
    assert len(streamed.text.splitlines()) == 3
    assert client.delete(f"/v1/events/{name}-1").status_code == 200
    assert client.get(f"/v1/events/{name}-1").status_code == 404


@pytest.mark.parametrize("is_pooled", [True, False])
def test_statements_are_prepared_only_in_sessions_of_its_own(
    direct: URL, pooled: URL, is_pooled: bool
) -> None:
    target: Database = database((pooled if is_pooled else direct).render_as_string(False))
    engine = target.engine(writer=False, connections=1)
    with engine.connect() as connection:
        driver = connection.connection.dbapi_connection
        assert driver
        assert (driver.prepare_threshold is None) == is_pooled
    engine.dispose()
