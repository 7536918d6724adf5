"""`spanloom export` and `spanloom import` of events, as the command line runs them."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from click.testing import CliRunner, Result
from pyarrow import parquet

from spanloom.cli import cli
from spanloom.errors import SetupError, SpanloomError
from spanloom.v1.event_pb2 import Event

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
        cli,
        [*arguments, "--shape", "events", "--database", database],
        input=input,
        catch_exceptions=False,
    )


def lines(events: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(event).encode() + b"\n" for event in events)


def exported(database: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in run(database, "export").stdout_bytes.splitlines()]


@pytest.fixture
def database(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/a.db"


def test_an_export_holds_what_was_sent(database: str, tmp_path: Path) -> None:
    assert run(database, "import", "-", input=lines(EVENTS) + b"\n").exit_code == 0
    found = exported(database)
    assert [e["event_id"] for e in found] == [e["event_id"] for e in reversed(EVENTS)]
    for sent, back in zip(reversed(EVENTS), found, strict=True):
        assert {name: back[name] for name in sent} == sent


FULL: dict[str, Any] = {
    "event_id": "full",
    "event_type": "model",
    "event_name": "",
    "session_id": "s0",
    "parent_id": "e0",
    "source": "\u0000🙂",
    "project": "",
    "children_ids": ["a", "b"],
    "start_time": 1_700_000_000_000.123,
    "end_time": 1_700_000_001_000.4567,
    "duration": 0.1,
    "error": "",
    "inputs": {},
    "outputs": {"a\u0000": [1, 2.5, None, True, {"🙂": []}]},
    "config": {"model": "m"},
    "metadata": {"cost": 0.25},
    "metrics": {"m": 1e-300},
    "feedback": {"ground_truth": None},
    "user_properties": {"user": "u"},
}


@pytest.mark.parametrize("name", ["events.jsonl", "events.parquet"])
def test_what_was_exported_is_imported_equal(database: str, tmp_path: Path, name: str) -> None:
    run(database, "import", "-", input=lines([*EVENTS, FULL]))
    file = tmp_path / name
    assert run(database, "export", str(file)).exit_code == 0
    other = f"sqlite:///{tmp_path}/b.db"
    for _ in range(2):
        assert run(other, "import", str(file)).exit_code == 0
    assert exported(other) == exported(database)


def test_a_parquet_file_has_a_typed_column_for_every_field_of_an_event(
    database: str, tmp_path: Path
) -> None:
    run(database, "import", "-", input=lines([FULL]))
    file = tmp_path / "events"
    assert run(database, "export", str(file), "--format", "parquet").exit_code == 0
    table = parquet.read_table(file)
    shown = {field.name for field in Event.DESCRIPTOR.fields} - {"children"}
    assert set(table.column_names) == shown
    assert str(table.schema.field("start_time").type) == "timestamp[ns, tz=UTC]"
    (row,) = table.drop_columns(["start_time", "end_time"]).to_pylist()
    assert (row["duration"], row["children_ids"]) == (0.1, ["a", "b"])
    assert json.loads(row["outputs"]) == FULL["outputs"]


def test_an_export_is_written_and_read_by_groups_of_rows(
    monkeypatch: pytest.MonkeyPatch, database: str, tmp_path: Path
) -> None:
    monkeypatch.setattr("spanloom.operations.parquet._GROUP_ROWS", 500)
    run(database, "import", "-", input=lines(EVENTS))
    file = tmp_path / "events.parquet"
    run(database, "export", str(file))
    held = parquet.ParquetFile(file)
    assert [held.metadata.row_group(n).num_rows for n in range(3)] == [500, 500, 200]
    other = f"sqlite:///{tmp_path}/b.db"
    run(other, "import", str(file))
    assert exported(other) == exported(database)


@pytest.mark.parametrize("name", ["none.jsonl", "none.parquet"])
def test_an_export_of_nothing_is_a_file(database: str, tmp_path: Path, name: str) -> None:
    run(database, "import", "-", input=b"")
    file = tmp_path / name
    assert run(database, "export", str(file)).exit_code == 0
    assert file.exists()
    assert run(database, "import", str(file)).exit_code == 0


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        (None, "is not a Parquet file"),
        ({"x": [1]}, "must have at least one of the columns event_id, "),
        ({"event_type": ["tool"], "start_time": ["soon"]}, "start_time: cannot be read as time"),
        ({"event_type": ["tool", "x"]}, "row 2, event_type: "),
    ],
)
def test_a_parquet_file_that_holds_no_events_is_refused(
    database: str, tmp_path: Path, columns: dict[str, Any] | None, says: str
) -> None:
    file = tmp_path / "bad.parquet"
    file.write_bytes(b"x")
    if columns:
        parquet.write_table(pyarrow.table(columns), file)
    with pytest.raises(SpanloomError, match=says):
        run(database, "import", str(file))


def test_a_damaged_parquet_file_is_refused(database: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.parquet"
    parquet.write_table(pyarrow.table({"event_type": ["tool"] * 10}), file)
    whole = file.read_bytes()
    file.write_bytes(whole[:4] + b"\xff" * 40 + whole[44:])
    with pytest.raises(SpanloomError, match="damaged"):
        run(database, "import", str(file))


def test_a_table_of_some_columns_is_enough(database: str, tmp_path: Path) -> None:
    file = tmp_path / "some.parquet"
    start = datetime(2026, 1, 1, tzinfo=UTC)
    columns = {
        "event_type": ["tool", "model"],
        "start_time": [start, start],
        "inputs": ['{"a": 1}', None],
        "mine": [1, 2],
    }
    parquet.write_table(pyarrow.table(columns), file)
    run(database, "import", str(file))
    found = {e["event_type"]: (e["start_time"], e.get("inputs")) for e in exported(database)}
    at = start.timestamp() * 1000
    assert found == {"tool": (at, {"a": 1}), "model": (at, None)}


def test_without_pyarrow_the_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, database: str, tmp_path: Path
) -> None:
    run(database, "import", "-", input=lines(EVENTS[:1]))
    monkeypatch.delitem(sys.modules, "spanloom.operations.parquet", raising=False)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(SetupError, match=r"spanloom\[parquet\]"):
        run(database, "export", str(tmp_path / "events.parquet"))


def test_an_export_may_be_of_a_part(database: str) -> None:
    run(database, "import", "-", input=lines(EVENTS[:12]))

    def ids(*options: str) -> set[str]:
        found = run(database, "export", *options).stdout_bytes.splitlines()
        return {json.loads(line)["event_id"] for line in found}

    assert ids("--session", "s1", "--kind", "model") == {"e1", "e7"}
    assert ids("--since", "2023-11-14T22:13:20.010Z") == {"e10", "e11"}
    assert ids("--until", "2023-11-14T22:13:20.001") == {"e0", "e1"}
    assert ids("--project", "other") == set()
    refused = run(database, "export", "--since", "last week")
    assert refused.exit_code == 2
    assert "must be a time like 2026-" in refused.stderr


@pytest.mark.parametrize(
    ("line", "says"),
    [
        (b"[1]", "line 3: is not a JSON object"),
        (b'{"event_type": "x"}', "line 3, event_type: "),
        (b'{"event_type": "tool", "inputs": 5}', "line 3, inputs: "),
    ],
)
def test_a_line_that_is_no_event_is_named(database: str, line: bytes, says: str) -> None:
    with pytest.raises(SpanloomError, match=says):
        run(database, "import", "-", input=lines(EVENTS[:1]) + b"\n" + line)


def test_of_lines_with_one_event_id_the_last_is_the_event(database: str) -> None:
    events = [{"event_id": "1", "event_type": "tool", "session_id": s} for s in "ab"]
    assert run(database, "import", "-", input=lines(events)).exit_code == 0
    assert [event["session_id"] for event in exported(database)] == ["b"]
