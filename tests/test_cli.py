"""The command line, as one who runs it meets it: what is printed where, exit statuses, signals."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from unittest import mock

import httpx
import psycopg
import pytest
from sqlalchemy.engine import make_url

from spanloom import __version__, cli
from tests.databases import DATABASES, new_url

KEY = re.compile(r"sl_[0-9a-f]{16}_[A-Za-z0-9_-]{43}\n")
ANY_PORTS = tuple(
    part for name in ("grpc", "http", "metrics") for part in (f"--{name}-address", "127.0.0.1:0")
)
SPANLOOM = (sys.executable, "-m", "spanloom")
# Nothing of the machine's own settings.
ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith("SPANLOOM_")}


def spanloom(*arguments: str, cwd: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """What the command does, as a process of its own where it may serve, else, quicker, in this
    one."""
    environment = {**ENVIRON, **settings}
    if arguments[:1] == ("serve",):
        return subprocess.run(
            [*SPANLOOM, *arguments],
            cwd=cwd,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
    out, err, status = io.StringIO(), io.StringIO(), 0
    with (
        contextlib.chdir(cwd),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        mock.patch.dict(os.environ, environment, clear=True),
        mock.patch.object(sys, "argv", ["spanloom", *arguments]),
    ):
        try:
            cli.main()
        except SystemExit as end:
            status = int(end.code or 0)
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), err.getvalue())


def ok(*arguments: str, cwd: Path, **settings: str) -> str:
    done = spanloom(*arguments, cwd=cwd, **settings)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def refused(*arguments: str, cwd: Path, **settings: str) -> str:
    """What a command that cannot work says: one line, and nothing on standard output."""
    done = spanloom(*arguments, cwd=cwd, **settings)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"spanloom: [^\n]+\n", done.stderr), done.stderr
    return done.stderr


class Serving:
    """`spanloom serve` that has printed all that it prints at its start."""

    def __init__(self, process: subprocess.Popen[str], printed: str) -> None:
        self.process, self.printed = process, printed

    @property
    def grpc(self) -> str:
        return self.find(r"gRPC (\S+),")

    @property
    def http(self) -> str:
        return self.find(r"HTTP (\S+)\n")

    def find(self, pattern: str) -> str:
        found = re.search(pattern, self.printed)
        assert found, self.printed
        return found[1]

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Exit status and standard error."""
        self.process.send_signal(number)
        _, log = self.process.communicate(timeout=30)
        return self.process.returncode, log


@contextlib.contextmanager
def serving(
    *arguments: str,
    cwd: Path,
    lines: int = 3,
    ports: bool = True,
    settings: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[Serving]:
    """A server once it has printed so many lines: 3, and 5 more with a call to try."""
    process = subprocess.Popen(
        [*SPANLOOM, "serve", *(ANY_PORTS if ports else ()), *arguments],
        cwd=cwd,
        env={**ENVIRON, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        printed = "".join(process.stdout.readline() for _ in range(lines))
        yield Serving(process, printed)
    finally:
        process.kill()
        process.communicate()


FIRST_START = 8  # the call to try with it


def test_the_version_is_the_package_s(tmp_path: Path) -> None:
    assert ok("--version", cwd=tmp_path) == f"spanloom, version {__version__}\n"


@pytest.mark.parametrize(
    "command",
    [
        "",
        "serve",
        "migrate",
        "keys",
        "keys create",
        "keys list",
        "keys rotate",
        "keys revoke",
        "chat",
    ],
)
def test_every_command_explains_itself(command: str, tmp_path: Path) -> None:
    for option in ("--help", "-h"):
        assert ok(*command.split(), option, cwd=tmp_path).startswith("Usage: ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("database", DATABASES)
def test_a_key_is_made_listed_and_revoked(database: str, tmp_path: Path) -> None:
    settings = {"SPANLOOM_DATABASE": new_url(database, tmp_path)}
    ok("migrate", cwd=tmp_path, **settings)
    options = ("--project", "my app", "--role", "ingest", "--name", "the app", "--expires", "90d")
    key = ok("keys", "create", *options, cwd=tmp_path, **settings)
    assert KEY.fullmatch(key)
    key_id = key.split("_")[1]

    def listed() -> str:
        done = spanloom("keys", "list", cwd=tmp_path, **settings)
        assert (done.returncode, done.stderr) == (0, "1 key\n")
        return done.stdout

    minute = r"[-0-9]{10} [:0-9]{8}"
    line = rf"{key_id}\tingest\t{minute}\tvalid until {minute}\tmy app\t\tthe app"
    assert re.fullmatch(line, listed().splitlines()[1])
    assert key not in listed()
    shown = json.loads(ok("keys", "list", "--jsonl", cwd=tmp_path, **settings))
    assert (shown["keyId"], shown["name"], shown["roles"]) == (key_id, "the app", ["ROLE_INGEST"])
    assert ok("keys", "revoke", key_id, cwd=tmp_path, **settings) == f"revoked {key_id}\n"
    before = listed()
    assert "\trevoked " in before
    # The first revocation counts; another one succeeds and changes nothing.
    assert ok("keys", "revoke", key_id, cwd=tmp_path, **settings) == f"revoked {key_id}\n"
    assert listed() == before
    assert "no key '00'" in refused("keys", "revoke", "00", cwd=tmp_path, **settings)


def test_an_instance_key_is_admin_in_every_project(tmp_path: Path) -> None:
    ok("migrate", cwd=tmp_path)
    assert KEY.fullmatch(ok("keys", "create", "--project", "*", "--role", "admin", cwd=tmp_path))
    assert re.search(r"\tadmin\t.*\tvalid\t\*\t\t\n", spanloom("keys", "list", cwd=tmp_path).stdout)
    assert "must be admin for an instance key" in refused(
        "keys", "create", "--project", "*", "--role", "read", cwd=tmp_path
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("keys", "create", "--project", "p", "--role", "owner"), "'owner' is not one of"),
        (("keys", "create", "--project", "p"), "Missing option '--role'"),
        (("keys", "revoke"), "Missing argument 'ID'"),
        (("serve", "--log-format", "xml"), "'xml' is not one of"),
        (("serve", "--port", "80"), "No such option"),
        (("nothing",), "No such command"),
    ],
)
def test_a_wrong_command_line_is_explained(
    arguments: tuple[str, ...], says: str, tmp_path: Path
) -> None:
    done = spanloom(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert says in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_migrating_twice_is_migrating_once(tmp_path: Path) -> None:
    for _ in range(2):
        assert (
            ok("migrate", "--database", "sqlite:///a/b.db", cwd=tmp_path)
            == "sqlite:///a/b.db is up to date\n"
        )
    listed = spanloom("keys", "list", "--database", "sqlite:///a/b.db", cwd=tmp_path)
    assert listed.stderr == "0 keys\n"


@pytest.mark.parametrize(
    "command",
    [
        "keys create --project p --role read",
        "keys list",
        "keys revoke 00",
        "chat t --database sqlite:///spanloom.db",
    ],
)
def test_reading_makes_no_database(command: str, tmp_path: Path) -> None:
    assert "the file spanloom.db does not exist" in refused(*command.split(), cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("mysql://me:secret@host/db", "the database 'mysql' is not supported"),
        ("spanloom.db", "not a database URL"),
        ("sqlite://", "needs a file"),
        ("sqlite:////proc/nowhere/spanloom.db", "No such file or directory"),
        ("sqlite:///text.txt", "file is not a database"),
        ("postgresql+psycopg://me:secret@127.0.0.1:1/db", "Connection refused"),
    ],
)
@pytest.mark.parametrize("command", [f"serve {' '.join(ANY_PORTS)}", "migrate"])
def test_a_database_that_cannot_be_used_is_told_in_one_line(
    command: str, url: str, says: str, tmp_path: Path
) -> None:
    (tmp_path / "text.txt").write_text("no database " * 1000)
    said = refused(*command.split(), "--database", url, cwd=tmp_path)
    assert says in said
    assert "secret" not in said


def test_a_second_database_is_refused_in_one_line(tmp_path: Path) -> None:
    other = "postgresql+psycopg://me:secret@127.0.0.1:1/db"
    for said in (
        refused("serve", *ANY_PORTS, "--control-database", other, cwd=tmp_path),
        refused("keys", "list", cwd=tmp_path, SPANLOOM_CONTROL_DATABASE=other),
    ):
        assert "not supported yet" in said
        assert "secret" not in said


def test_a_wrong_password_is_told_in_one_line(tmp_path: Path) -> None:
    url = make_url(new_url("postgresql", tmp_path))
    with psycopg.connect(
        url.set(drivername="postgresql").render_as_string(False), autocommit=True
    ) as server:
        name = f"spanloom_cli_{os.getpid()}"
        server.execute(f"CREATE ROLE {name} LOGIN PASSWORD 'right'")
        server.execute("SET password_encryption = 'scram-sha-256'")
        hba = server.execute("SHOW hba_file").fetchone()
        assert hba
        rules = Path(hba[0])
        before = rules.read_text()
        try:
            rules.write_text(
                f"local all {name} scram-sha-256\nhost all {name} all scram-sha-256\n{before}"
            )
            server.execute("SELECT pg_reload_conf()")
            wrong = url.set(username=name, password="wrong-secret").render_as_string(False)
            said = refused("keys", "list", "--database", wrong, cwd=tmp_path)
        finally:
            rules.write_text(before)
            server.execute("SELECT pg_reload_conf()")
            server.execute(f"DROP ROLE {name}")
    assert "password authentication failed" in said
    assert "wrong-secret" not in said


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"SPANLOOM_LOG_LEVEL": "loud"},
            "log_level must be debug, info, warning or error, not 'loud'",
        ),
        ({"SPANLOOM_LOG_FORMAT": "xml"}, "log_format must be console or json"),
        ({"SPANLOOM_QUEUE_ROWS": "many"}, "SPANLOOM_QUEUE_ROWS must be an integer, not 'many'"),
        ({"SPANLOOM_REQUEST_TIMEOUT": "0"}, "request_timeout must be greater than 0"),
        ({"SPANLOOM_REQUEST_TIMEOUT": "nan"}, "request_timeout must be greater than 0"),
        ({"SPANLOOM_DRAIN_TIMEOUT": "-1"}, "drain_timeout must not be negative"),
        ({"SPANLOOM_NO_AUTH": "maybe"}, "SPANLOOM_NO_AUTH must be yes or no, not 'maybe'"),
        ({"SPANLOOM_GRPC_ADDRESS": "4317"}, "grpc_address must be HOST:PORT, not '4317'"),
        ({"SPANLOOM_HTTP_ADDRESS": "127.0.0.1:99999"}, "http_address must be HOST:PORT"),
        (
            {"SPANLOOM_NO_AUTH": "1", "SPANLOOM_HTTP_ADDRESS": "0.0.0.0:0"},
            "requires loopback addresses, but http_address",
        ),
        (
            {"SPANLOOM_NO_AUTH": "1", "SPANLOOM_GRPC_ADDRESS": "[::]:0"},
            "requires loopback addresses, but grpc_address",
        ),
    ],
)
def test_a_bad_setting_is_told_in_one_line(
    settings: dict[str, str], says: str, tmp_path: Path
) -> None:
    assert says in refused("serve", cwd=tmp_path, **settings)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("transport", ["grpc", "http"])
def test_an_address_in_use_is_told_in_one_line_and_the_first_key_is_kept(
    transport: str, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        said = refused("serve", *ANY_PORTS, f"--{transport}-address", address, cwd=tmp_path)
    assert said == f"spanloom: cannot listen on {address}: Address already in use\n"
    with serving(cwd=tmp_path, lines=FIRST_START) as server:
        assert server.find(r"first key .*: (sl_\S+)\n")


def test_the_first_start_shows_a_key_and_a_call_that_works_and_the_second_neither(
    tmp_path: Path,
) -> None:
    with serving(cwd=tmp_path, lines=FIRST_START) as server:
        assert server.find(r"^spanloom listens: gRPC (127\.0\.0\.1:\d+), HTTP 127\.0\.0\.1:\d+\n")
        assert server.find(r"\ndatabase: (.*)\n") == "sqlite:///spanloom.db"
        link = server.find(r"\nweb page: (.*)\n")
        assert (
            re.fullmatch(rf"http://{server.http}/ui/login#[\w-]{{43}}", link) or "make ui" in link
        )
        key = server.find(r"\nfirst key \(instance, admin\), shown this once: (sl_\S+)\n")
        call = server.printed.partition("try it:\n")[2]
        assert key in call
        done = subprocess.run(["bash", "-c", call], capture_output=True, text=True, timeout=30)
        assert re.fullmatch(r"[0-9a-f]{32}", json.loads(done.stdout)["trace"]["id"])
        assert server.end()[0] == 0
        assert server.process.stdout is not None
    with serving(cwd=tmp_path) as server:
        answer = httpx.get(
            f"http://{server.http}/v1/traces",
            headers={"authorization": f"Bearer {key}"},
            trust_env=False,
        )
        assert len(answer.json()["traces"]) == 1
        server.process.terminate()
        rest, log = server.process.communicate(timeout=30)
        assert rest == ""
        assert key not in log


def test_without_keys_everyone_on_the_machine_may_call(tmp_path: Path) -> None:
    with serving("--no-auth", cwd=tmp_path, lines=FIRST_START) as server:
        assert "authentication is off (--no-auth)" in server.printed
        call = server.printed.partition("try it:\n")[2]
        done = subprocess.run(["bash", "-c", call], capture_output=True, text=True, timeout=30)
        assert json.loads(done.stdout)["trace"]["id"]
    assert spanloom("keys", "list", cwd=tmp_path).stderr == "0 keys\n"


def test_the_password_of_the_database_is_not_shown(tmp_path: Path) -> None:
    url = make_url(new_url("postgresql", tmp_path)).set(password="se:cr@et").render_as_string(False)
    with serving("--database", url, cwd=tmp_path, lines=FIRST_START) as server:
        assert re.search(r"\ndatabase: postgresql\+psycopg://\w+:\*\*\*@", server.printed)
        assert "cr" + "@et" not in server.printed.partition("first key")[0]


def test_settings_come_from_the_environment_and_options_win(tmp_path: Path) -> None:
    settings = {
        "SPANLOOM_DATABASE": "sqlite:///from-environment.db",
        "SPANLOOM_GRPC_ADDRESS": "localhost:0",
        "SPANLOOM_HTTP_ADDRESS": "[::1]:0",
    }
    with serving(cwd=tmp_path, lines=FIRST_START, ports=False, settings=settings) as server:
        assert server.find(r"gRPC (localhost:\d+)")
        assert server.find(r"HTTP (\[::1\]:\d+)")
        assert (tmp_path / "from-environment.db").exists()
    with serving(
        "--database", "sqlite:///from-option.db", cwd=tmp_path, lines=FIRST_START, settings=settings
    ) as server:
        assert server.grpc.startswith("127.0.0.1:")
        assert (tmp_path / "from-option.db").exists()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_ends_well(number: signal.Signals, tmp_path: Path) -> None:
    with serving(cwd=tmp_path, lines=FIRST_START) as server:
        status, log = server.end(number)
        assert status == 0
        assert "draining" in log
        assert "Traceback" not in log
        assert "\x1b" not in log  # no colours in a file


def test_json_logs_are_an_object_a_line_that_tells_of_each_call(tmp_path: Path) -> None:
    with serving("--log-format", "json", cwd=tmp_path, lines=FIRST_START) as server:
        key = server.find(r"(sl_\S+)\n")
        for sent, body in (
            (key, '{"input": "x"}'),
            (key, '{"logs": [{"type": "?"}]}'),
            ("nobody", "{}"),
        ):
            httpx.post(
                f"http://{server.http}/monitor/trace",
                headers={"authorization": f"Bearer {sent}", "x-request-id": "req-1"},
                content=body,
                trust_env=False,
            )
        _, log = server.end()
    calls = [record for record in map(json.loads, log.splitlines()) if record["event"] == "call"]
    assert [record["code"] for record in calls] == ["OK", "INVALID_ARGUMENT", "UNAUTHENTICATED"]
    for record in calls:
        assert record["method"] == "spanloom.v1.TraceService/CreateTrace"
        assert record["request_id"] == "req-1"
        assert record["ms"] > 0
        assert record["level"] == "info"
    assert key not in log


def test_a_log_level_hides_what_is_below_it(tmp_path: Path) -> None:
    with serving("--log-level", "error", cwd=tmp_path, lines=FIRST_START) as server:
        httpx.get(f"http://{server.http}/v1/traces", trust_env=False)
        assert server.end() == (0, "")


def test_the_chat_is_drawn_for_a_trace_of_the_project(tmp_path: Path) -> None:
    with serving(cwd=tmp_path, lines=FIRST_START) as server:
        trace = {"id": "t 1", "name": "capital", "input": "Capital of France?", "output": "Paris"}
        answer = httpx.post(
            f"http://{server.http}/monitor/trace",
            headers={
                "authorization": f"Bearer {server.find('(sl_.*)')}",
                "x-spanloom-project": "geo",
            },
            json=trace,
            trust_env=False,
        )
        assert answer.status_code == 200
        here = ("--database", "sqlite:///spanloom.db")
        drawn = ok("chat", "t 1", "--project", "geo", *here, cwd=tmp_path)  # while the server runs
    for text in ("capital", "t 1", "Capital of France?", "Paris", "2 messages"):
        assert text in drawn
    assert ok("chat", "t 1", "--project", "geo", "--model-tool-calls", *here, cwd=tmp_path)
    assert "no trace and no conversation 't 1'" in refused("chat", "t 1", *here, cwd=tmp_path)
    query = "SELECT name, kind FROM v_spans"
    assert "capital" in ok("sql", query, cwd=tmp_path)
    assert ok("sql", query, "--format", "csv", cwd=tmp_path).split() == [
        "name,kind",
        "capital,session",
    ]
    assert ok("sql", query, "--format", "jsonl", cwd=tmp_path) == (
        '{"name":"capital","kind":"session"}\n'
    )
    assert "no such table" in refused("sql", "SELECT * FROM no_such_table", cwd=tmp_path)
