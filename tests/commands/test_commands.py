"""The commands against a server, by its address and a key, and on a database."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
import structlog

from spanloom import cli, config
from spanloom.client import Client
from spanloom.commands import output
from spanloom.v1 import span_pb2
from tests.servers import LiveServer
from tests.test_cli import spanloom

HOSTILE = "a\x1b[2Jb"


class Place:
    """A directory from which commands call a server with a project's key."""

    def __init__(self, server: LiveServer, home: Path) -> None:
        self.home = home
        self.settings = {
            "SPANLOOM_URL": f"http://{server.running.grpc_address}",
            "SPANLOOM_KEY": server.key("app"),
            "XDG_CONFIG_HOME": str(home),
        }

    def run(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        with mock.patch.object(sys, "stdin", io.StringIO()):
            return spanloom(*arguments, cwd=self.home, **{**self.settings, **settings})

    def ok(self, *arguments: str) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def refused(self, *arguments: str, **settings: str) -> str:
        done = self.run(*arguments, **settings)
        assert (done.returncode, done.stdout) == (1, ""), done
        assert all(line.startswith("spanloom: ") for line in done.stderr.splitlines()), done.stderr
        return done.stderr

    def rows(self, *arguments: str) -> list[dict[str, str]]:
        """The rows that a command prints into a pipe."""
        heading, *lines = self.ok(*arguments).splitlines()
        names = heading.split("\t")
        return [dict(zip(names, line.split("\t"), strict=True)) for line in lines]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    database = f"sqlite:///{tmp_path_factory.mktemp('commands')}/spanloom.db"
    before = structlog.get_config()
    # The server's lines are not among those of the commands, which run in this process, too.
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    with LiveServer(database=database, log_level="error") as running:
        yield running
    structlog.configure(**before)


@pytest.fixture(scope="module")
def traces() -> dict[str, str]:
    return {}


@pytest.fixture(scope="module")
def place(
    server: LiveServer, traces: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Place:
    made = Place(server, tmp_path_factory.mktemp("home"))
    url, key = made.settings["SPANLOOM_URL"], made.settings["SPANLOOM_KEY"]
    with Client(url, key=key) as client:
        with client.record("good", kind="agent", agent="Ada", conversation_id="c1", user_id="u1"):
            with client.record("ask", kind="model", model="gpt-4o", input_tokens=10) as span:
                span.update(input="What is a loom?", output="A machine.", output_tokens=5)
            with client.record("look up", kind="tool", tool="search", input={"q": "loom"}):
                pass
        traces["good"] = span.trace_id
        with (
            pytest.raises(RuntimeError),
            client.record("bad", kind="agent", agent="Bob", feature="f", input=HOSTILE) as span,
        ):
            raise RuntimeError(HOSTILE)
        traces["bad"] = span.trace_id
    return made


def test_traces_are_listed_and_a_failure_is_a_word(place: Place, traces: dict[str, str]) -> None:
    rows = {row["trace id"]: row for row in place.rows("traces", "--since", "1h")}
    assert rows[traces["good"]]["state"] == "ok"
    assert rows[traces["good"]]["tokens in"] == "10"
    bad = rows[traces["bad"]]
    assert (bad["state"], bad["input"]) == ("error", "a␛[2Jb")
    assert place.run("traces").stderr == "2 traces\n"
    assert place.run("traces", "--limit", "1").stderr == "1 trace; there are more: --limit 10\n"


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (["--status", "error"], ["bad"]),
        (["--errors"], ["bad"]),
        (["--user", "u1"], ["good"]),
        (["--agent", "Bob"], ["bad"]),
        (["--session", "c1"], ["good"]),
        (["--model", "gpt-4o", "--until", "2030-01-01"], ["good"]),
        (["--feature", "f"], ["bad"]),
        (["--min-duration", "1h"], []),
        (["--since", "2099-01-01T00:00:00+02:00"], []),
        (["--order", "tokens"], ["good", "bad"]),
    ],
)
def test_traces_are_chosen(place: Place, options: list[str], names: list[str]) -> None:
    assert [row["name"] for row in place.rows("traces", *options)] == names


def test_every_list_is_also_json(place: Place) -> None:
    for command in (
        ["traces"],
        ["sessions"],
        ["search", "loom"],
        ["usage"],
        ["agents"],
        ["projects"],
        ["feedback", "list"],
    ):
        array = json.loads(place.ok(*command, "--json"))
        lines = [json.loads(line) for line in place.ok(*command, "--jsonl").splitlines()]
        assert array == lines
        assert isinstance(array, list)
    assert json.loads(place.ok("traces", "--jsonl", "--user", "u1"))["user"]["id"] == "u1"
    assert place.run("traces", "--json", "--jsonl").returncode == 2


def test_sessions_search_usage_agents_and_projects(place: Place, traces: dict[str, str]) -> None:
    assert {row["conversation id"] for row in place.rows("sessions")} >= {"c1"}
    assert [row["trace id"] for row in place.rows("search", "machine")] == [traces["good"]]
    assert place.rows("search", "loom", "--role", "user", "--in", "c1")
    assert place.rows("search", "loom", "--in", traces["bad"]) == []
    usage = {row["model"]: row for row in place.rows("usage", "--by", "model")}
    assert (usage["gpt-4o"]["tokens in"], usage["gpt-4o"]["out"]) == ("10", "5")
    hours = place.rows("usage", "--by", "agent,model", "--bucket", "hour", "--since", "2h")
    assert {(row["agent"], row["model"]) for row in hours} >= {("Ada", "gpt-4o")}
    agents = {row["agent"]: row for row in place.rows("agents")}
    assert agents["Ada"]["calls"] == "1"
    assert [row["project"] for row in place.rows("projects")] == ["app"]


def test_spans_of_a_trace_are_listed_and_read(place: Place, traces: dict[str, str]) -> None:
    rows = place.rows("spans", traces["good"])
    assert [row["name"] for row in rows] == ["good", "ask", "look up"]
    assert [row["kind"] for row in rows] == ["agent", "model", "tool"]
    assert [row["parent"] for row in rows[1:]] == [rows[0]["span id"]] * 2
    assert (rows[1]["model"], rows[1]["tokens in"], rows[1]["out"]) == ("gpt-4o", "10", "5")
    [failed] = place.rows("spans", traces["bad"], "--status", "error")
    assert failed["message"] == "a␛[2Jb"
    assert place.rows("spans", traces["good"], "--kind", "retrieval") == []
    asked = ("span", traces["good"], rows[1]["span id"])
    assert json.loads(place.ok(*asked))["input"] == "What is a loom?"
    [same] = json.loads(place.ok(*asked, "--json"))
    assert same["output"] == "A machine."
    assert place.ok(*asked, "--path", "input") == "What is a loom?\n"
    assert "none" in place.refused("spans", "none")
    assert "none" in place.refused("span", traces["good"], "none")


def test_a_coding_agent_is_told_only_of_commands_and_options_that_exist(place: Place) -> None:
    text = place.ok("skill")
    assert text.startswith("---\nname: spanloom\ndescription: ")
    for command in re.findall(r"`spanloom (\w+)", text):
        assert command in cli.COMMANDS
    helped = "".join(place.ok(name, "--help") for name in ("traces", "spans", "span", "usage"))
    helped += place.ok("search", "--help")
    for option in re.findall(r"--[a-z][a-z-]*", text):
        assert option in f"{helped} --help --attribute"


@pytest.mark.parametrize("name", ["c1", "trace"])
def test_a_chat_is_drawn_by_the_id_of_a_trace_or_of_a_conversation(
    place: Place, traces: dict[str, str], name: str
) -> None:
    drawn = place.ok("chat", traces["good"] if name == "trace" else name)
    for text in ("What is a loom?", "A machine.", "gpt-4o", "search(", "10 tokens in, 5 out"):
        assert text in drawn
    assert "\x1b" not in drawn
    said = json.loads(place.ok("chat", name if name == "c1" else traces["good"], "--json"))
    assert said[0]["user"]["text"] == "What is a loom?"


def test_feedback_is_added_listed_and_deleted(place: Place, traces: dict[str, str]) -> None:
    about = ("--name", "correct", "--score", "0.5", "--comment", HOSTILE)
    review = place.ok("feedback", "add", traces["good"], *about).strip()
    [row] = place.rows("feedback", "list", "--about", traces["good"])
    assert (row["review id"], row["score"], row["comment"]) == (review, "0.5", "a␛[2Jb")
    assert place.ok("feedback", "add", "c1", "--name", "n", "--label", "l")
    place.ok("feedback", "delete", review)
    assert place.rows("feedback", "list", "--about", traces["good"]) == []


def test_keys_are_managed_through_the_server(place: Place) -> None:
    options = ("--project", "app", "--role", "read", "--name", "Grafana", "--expires", "1d")
    key = place.ok("keys", "create", *options).strip()
    key_id = key.split("_")[1]
    rows = {row["key id"]: row for row in place.rows("keys", "list")}
    assert (rows[key_id]["name"], rows[key_id]["role"]) == ("Grafana", "read")
    assert place.run("projects", SPANLOOM_KEY=key).returncode == 0
    rotated = place.run("keys", "rotate", key_id, "--overlap", "30m")
    assert rotated.stdout.startswith("sl_")
    assert f"{key_id} is valid until " in rotated.stderr
    assert place.run("projects", SPANLOOM_KEY=rotated.stdout.strip()).returncode == 0
    assert "was rotated before" in place.refused("keys", "rotate", key_id)
    assert place.ok("keys", "revoke", key_id) == f"revoked {key_id}\n"
    rows = {row["key id"]: row for row in place.rows("keys", "list")}
    assert rows[rotated.stdout.split("_")[1]]["name"] == "Grafana"
    assert rows[key_id]["state"].startswith("revoked ")
    assert "instance key" in place.refused("keys", "create", "--project", "*", "--role", "admin")
    assert "project" in place.refused("keys", "create", "--project", "other", "--role", "read")


def test_traces_and_conversations_are_deleted(place: Place) -> None:
    url, key = place.settings["SPANLOOM_URL"], place.settings["SPANLOOM_KEY"]
    with Client(url, key=key) as client:
        client.write_spans(
            span_pb2.Span(trace_id=f"d{n}", span_id="1", conversation_id="gone") for n in range(3)
        )
    kept = place.run("delete", "d0")  # nobody answers the question
    assert kept.returncode == 130
    assert "Delete 1 trace with 1 span for ever?" in kept.stderr
    assert place.ok("delete", "d0", "--yes") == "deleted 1 trace, 1 span\n"
    assert place.ok("delete", "gone", "--yes") == "deleted 2 traces, 2 spans\n"
    assert "no trace and no conversation 'gone'" in place.refused("delete", "gone", "--yes")


def test_the_data_of_a_user_is_deleted(place: Place) -> None:
    url, key = place.settings["SPANLOOM_URL"], place.settings["SPANLOOM_KEY"]
    with Client(url, key=key) as client:
        user = span_pb2.Span.User(id="ada")
        client.write_spans([span_pb2.Span(trace_id="ada's", span_id="1", user=user)])
    kept = place.run("delete", "--user", "ada")
    assert "Delete all data of the user 'ada' for ever?" in kept.stderr
    assert place.ok("delete", "--user", "ada", "--yes") == "deleted 1 trace, 1 span\n"
    assert place.run("delete").returncode == place.run("delete", "x", "--user", "y").returncode == 2


def test_a_project_is_set_and_deleted(place: Place, server: LiveServer) -> None:
    mine = {"SPANLOOM_KEY": server.key()}
    server.key("old")

    def ok(*arguments: str) -> str:
        done = place.run("projects", *arguments, **mine)
        assert done.returncode == 0, done.stderr
        return done.stdout

    for given, told in (
        ("30", "30 days"),
        ("forever", "forever"),
        ("default", "by the server's setting"),
    ):
        assert ok("set", "old", "--retention", given) == f"old keeps traces: {told}\n"
        assert told in ok()
    assert place.run("projects", "set", "old", "--retention", "0", **mine).returncode == 2
    rules = ("--redact", "email", "--redact-pattern", "nr=N[0-9]+", "--redact-path", "$..ssn")
    assert ok("set", "old", *rules) == "old redacts: email, nr, $..ssn\n"
    assert ok("set", "old", "--redact", "none") == "old redacts: nothing of its own\n"
    for wrong in ((), ("--redact", "none", "--redact", "ip"), ("--redact-pattern", "N")):
        assert place.run("projects", "set", "old", *wrong, **mine).returncode == 2
    refused = place.refused("projects", "set", "old", "--redact", "mail", **mine)
    assert "presets[0]" in refused
    told = "old has these limits of its own:"
    limits = ("--spans-per-second", "50", "--stored-spans", "none")
    assert ok("set", "old", *limits) == f"{told} spans-per-second 50, stored-spans none\n"
    assert "spans-per-second 50" in ok()
    assert ok("set", "old", "--spans-per-second", "default") == f"{told} stored-spans none\n"
    assert ok("set", "old", "--stored-spans", "default") == f"{told} none\n"
    for wrong in ((), ("--spans-per-second", "0"), ("--spans-per-second", "-1")):
        assert place.run("projects", "set", "old", *wrong, **mine).returncode == 2
    missing = place.refused("projects", "delete", "older", "--yes", **mine)
    assert "there is no project 'older'; did you mean 'old'?" in missing
    assert place.run("projects", "delete", "old", **mine).returncode == 130
    assert ok("delete", "old", "--yes") == "deleted old: 0 traces, 0 spans\n"
    assert "old" not in ok()


def test_a_tail_prints_what_is_stored(place: Place) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "spanloom", "tail", "--limit", "1", "--name", "seen"],
        env={**os.environ, **place.settings},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        url, key = place.settings["SPANLOOM_URL"], place.settings["SPANLOOM_KEY"]
        with Client(url, key=key) as client:
            # The tail begins some time after its process.
            for number in range(300):
                span = span_pb2.Span(trace_id="tail", span_id=str(number), name="seen")
                client.write_spans([span])
                try:
                    process.wait(0.2)
                    break
                except subprocess.TimeoutExpired:
                    pass
        printed, _ = process.communicate(timeout=30)
        assert "  running  0.00 s  tail  seen\n" in printed
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["chat", "nothing"], "there is no trace and no conversation 'nothing'"),
        (["traces", "--status", "eror"], "there is no status 'eror'; did you mean 'error'?"),
        (["usage", "--by", "modle"], "there is no sum by 'modle'; did you mean 'model'?"),
        (
            ["export", "a.jsonl", "--kind", "models"],
            "there is no kind 'models'; did you mean 'model'?",
        ),
        (["traces", "--project", "other"], "project"),
        (["traces", "--attribute", "="], "attributes"),
        (["traces", "--key", "sl_0123456789abcdef_" + "x" * 43], "the API key is not valid"),
        (["traces", "--url", "127.0.0.1:1"], "the server cannot be reached"),
        (["traces", "--profile", "prod"], "there is no profile 'prod'"),
        (["feedback", "delete", "none"], "review"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line(
    place: Place, arguments: list[str], says: str
) -> None:
    assert says in place.refused(*arguments)


def test_an_unknown_project_is_named(place: Place, server: LiveServer) -> None:
    instance = server.key()
    done = place.run("traces", "--project", "ap", SPANLOOM_KEY=instance)
    assert done.returncode == 1
    assert done.stderr.endswith("spanloom: there is no project 'ap'; did you mean 'app'?\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ["traces", "--since", "yesterday"],
        ["traces", "--min-duration", "long"],
        ["traces", "--url", "x", "--database", "sqlite:///a.db"],
        ["traces", "--url", "ftp://h:1"],
    ],
)
def test_a_wrong_option_is_status_2(place: Place, arguments: list[str]) -> None:
    done = place.run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1].startswith("spanloom: ")


def test_a_profile_names_a_server_and_its_key(place: Place, tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    url, key = place.settings["SPANLOOM_URL"], place.settings["SPANLOOM_KEY"]
    file.write_text(
        f'[profiles.default]\nurl = "{url}"\nkey = "{key}"\n[profiles.other]\nurl = "h:1"\n'
    )
    mine = {"SPANLOOM_CONFIG": str(file), "SPANLOOM_URL": "", "SPANLOOM_KEY": ""}
    assert place.run("projects", **mine).stdout.splitlines()[1].startswith("app\t")
    # The key of a profile is not sent to another server.
    elsewhere = place.refused("projects", "--url", f"{url}/", **mine)
    assert "send an API key" in elsewhere
    assert "did you mean 'other'?" in place.refused("projects", "--profile", "othr", **mine)
    file.write_text('[profiles.default]\nkye = "x"\n')
    assert "no setting 'kye'; did you mean 'key'?" in place.refused("projects", **mine)
    file.write_text("[")
    assert "cannot be read" in place.refused("projects", **mine)


def test_a_misspelt_setting_is_told(place: Place) -> None:
    done = place.run("projects", SPANLOOM_DATABSE="x", SPANLOOM_PORT_4317_TCP="tcp://k8s")
    assert done.returncode == 0
    assert done.stderr.splitlines()[0] == (
        "spanloom: warning: SPANLOOM_DATABSE is not a setting; did you mean SPANLOOM_DATABASE?"
    )
    assert config.misspelt(dict.fromkeys(place.settings, "")) == []


def test_the_same_commands_work_on_a_database(place: Place, server: LiveServer) -> None:
    database = ("--database", server._settings.database, "--project", "app")
    offline = {"SPANLOOM_URL": "", "SPANLOOM_KEY": ""}
    for command in (["traces", "--user", "u1"], ["sessions"], ["agents"], ["chat", "c1"]):
        here, there = place.run(*command, *database, **offline), place.run(*command)
        assert here.returncode == 0, here.stderr
        assert here.stdout == there.stdout
    wrong = place.refused("traces", "--database", "sqlite:///none.db", **offline)
    assert "does not exist" in wrong


def test_a_terminal_shows_a_table_in_which_a_failure_is_also_red(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdout.isatty", lambda: True, raising=False)
    columns = (
        output.Column("state", lambda row: row.state),
        output.Column("text", lambda row: row.text),
    )
    rows: list[Any] = [
        SimpleNamespace(state="error", text=HOSTILE + "x" * 100),
        SimpleNamespace(state="ok", text="fine"),
    ]
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("FORCE_COLOR", "1")
    output.Output("table").rows(rows, columns, "row")
    drawn = capsys.readouterr()
    lines = drawn.out.splitlines()
    assert "state" in lines[0]
    assert "\x1b[31merror" in lines[1]
    assert "a␛[2Jb" in lines[1]
    assert "…" in lines[1]
    assert "\x1b[31m" not in lines[2]
    assert drawn.err == "2 rows\n"


def test_a_command_loads_only_what_it_needs() -> None:
    code = (
        "import sys; from spanloom import cli; from click.testing import CliRunner;"
        "CliRunner().invoke(cli.cli, ['traces', '--url', '127.0.0.1:1', '--key', 'x']);"
        "print(*[m for m in sys.modules if m.partition('.')[0] in"
        " ('sqlalchemy', 'uvicorn', 'starlette', 'rich', 'pyarrow', 'alembic')])"
    )
    environment = {**os.environ, "XDG_CONFIG_HOME": "/nowhere"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env=environment,
    )
    assert done.stdout.split() == []


def test_every_command_is_there_and_explains_itself(place: Place) -> None:
    for name in cli.COMMANDS:
        assert place.ok(name, "--help").startswith("Usage: ")
