"""`spanloom export` and `spanloom import`, as the command line runs them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from spanloom.cli import cli
from spanloom.errors import SpanloomError

EVENTS: list[dict[str, Any]] = [
    {
        "event_id": f"e{n}",
        "event_type": "model" if n % 2 else "tool",
        "event_name": "🙂",
        "session_id": f"s{n % 3}",
        "start_time": 1_700_000_000_000 + n,
        "inputs": {"n": n, "list": [None, {"a": "\n"}]},
        "metadata": {"cost": n / 8},
        "project": "as sent",
    }
    for n in range(1200)
]


def run(database: str, *arguments: str, input: bytes | None = None) -> Result:
    return CliRunner().invoke(
        cli, [*arguments, "--database", database], input=input, catch_exceptions=False
    )


def lines(events: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/a.db"


def test_what_was_exported_is_imported_equal(database: str, tmp_path: Path) -> None:
    assert run(database, "import", "-", input=lines(EVENTS) + b"\n").exit_code == 0
    file = tmp_path / "events.jsonl"
    assert run(database, "export", str(file)).exit_code == 0
    exported = [json.loads(line) for line in file.read_bytes().splitlines()]
    assert [e["event_id"] for e in exported] == [e["event_id"] for e in reversed(EVENTS)]
    for sent, back in zip(reversed(EVENTS), exported, strict=True):
        assert {name: back[name] for name in sent} == sent
    other = f"sqlite:///{tmp_path}/b.db"
    for _ in range(2):
        assert run(other, "import", str(file)).exit_code == 0
    assert run(other, "export").stdout_bytes == file.read_bytes()


def test_an_export_may_be_of_a_part(database: str) -> None:
    run(database, "import", "-", input=lines(EVENTS[:12]))

    def ids(*options: str) -> set[str]:
        found = run(database, "export", *options).stdout_bytes.splitlines()
        return {json.loads(line)["event_id"] for line in found}

    assert ids("--session", "s1", "--type", "model") == {"e1", "e7"}
    assert ids("--since", "2023-11-14T22:13:20.010Z") == {"e10", "e11"}
    assert ids("--until", "2023-11-14T22:13:20.001") == {"e0", "e1"}
    assert ids("--project", "other") == set()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"[1]", "line 3: is no JSON object"),
        (b'{"event_type": "x"}', "line 3, event_type: "),
        (b'{"event_type": "tool", "inputs": 5}', "line 3, inputs: "),
    ],
)
def test_a_line_that_is_no_event_is_named(database: str, line: bytes, says: str) -> None:
    with pytest.raises(SpanloomError, match=says):
        run(database, "import", "-", input=lines(EVENTS[:1]) + b"\n" + line)


def test_events_of_one_id_in_several_sessions_are_kept(database: str) -> None:
    events = [{"event_id": "1", "event_type": "tool", "session_id": s} for s in "ab"]
    assert run(database, "import", "-", input=lines(events)).exit_code == 0
    assert len(run(database, "export").stdout_bytes.splitlines()) == 2
