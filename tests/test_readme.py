"""What README.md and docs/ say is true: their calls run against a live server, their links and
tables hold."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from spanloom import config
from spanloom.commands.serve import serve
from tests.servers import LiveServer
from tools import contract

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
# All but the page that tests/polyglot runs.
PAGES = [README, *sorted(set((ROOT / "docs").glob("*.md")) - {ROOT / "docs" / "clients.md"})]
DOCUMENTS = [
    *(README, ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"),
    *sorted((ROOT / "docs").rglob("*.md")),
]
LONGEST_LINE = 100
DOCUMENTED = ROOT / "tests" / "data" / "documented"
# A single quote inside single quotes, for the shell.
QUOTE = "'\\''"
NODE_PACKAGES = ("@grpc/grpc-js", "@grpc/proto-loader")


class Block(NamedTuple):
    language: str
    text: str
    page: str
    line: int


def blocks(page: Path) -> list[Block]:
    found = re.finditer(
        r"^```(\w*)\n(.*?)^```$", text := page.read_text(), re.MULTILINE | re.DOTALL
    )
    return [Block(m[1], m[2], page.name, text.count("\n", 0, m.start()) + 1) for m in found]


ALL = {page: blocks(page) for page in PAGES}


def of(language: str, word: str = "") -> list[Any]:
    """The blocks of a language that have a word, as parameters named by page and line."""
    return [
        pytest.param(block, id=f"{block.page}:{block.line}")
        for page in PAGES
        for block in ALL[page]
        if block.language == language and word in block.text
    ]


class Reader:
    """Someone who follows the pages: a server, a project key, and a shell with both."""

    def __init__(self, server: LiveServer, database: str, home: Path) -> None:
        # Tells the status of every answer on standard error.
        (home / ".curlrc").write_text(
            'silent\nwrite-out = "%{stderr}HTTP %{http_code}\\n%{stdout}\\n"\n'
        )
        self.server, self.home = server, home
        self.environment = {
            **os.environ,
            "CURL_HOME": str(home),
            "HOME": str(home),
            "SPANLOOM_KEY": server.key("default"),
            "SPANLOOM_URL": f"http://{server.running.grpc_address}",
            "SPANLOOM_DATABASE": database,
            "no_proxy": "*",
        }

    def here(self, text: str) -> str:
        """The page's text with the addresses and the Python of this run."""
        running = self.server.running
        text = text.replace("127.0.0.1:4317", running.grpc_address)
        text = text.replace("127.0.0.1:4318", running.http_address)
        return re.sub(
            r"(\.venv/bin/)?\bspanloom (?=keys|chat|sql|traces|demo|projects)",
            f"{sys.executable} -m spanloom ",
            text,
        )

    def run(self, *command: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, cwd=cwd, env=self.environment, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done

    def shell(self, block: Block) -> subprocess.CompletedProcess[str]:
        return self.run("bash", "-euo", "pipefail", "-c", self.here(block.text))


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    home = tmp_path_factory.mktemp("reader")
    database = f"sqlite:///{home}/spanloom.db"
    with LiveServer(database=database, log_level="error") as server:
        yield Reader(server, database, home)


@pytest.mark.parametrize("block", of("sh", "curl"))
def test_every_curl_call_answers_200(reader: Reader, block: Block) -> None:
    calls = len(re.findall(r"^curl ", block.text, re.MULTILINE))
    done = reader.shell(block)
    assert re.findall(r"HTTP (\d+)", done.stderr) == ["200"] * calls, done.stdout
    shown = shown_answer(block)
    if shown:
        assert_shows(shown, json.loads(done.stdout))


@pytest.mark.parametrize("block", of("python"))
def test_every_python_block_prints_what_is_shown(reader: Reader, block: Block) -> None:
    done = reader.run(sys.executable, "-W", "error", "-c", reader.here(block.text))
    shown = following(block)
    assert shown is not None
    assert shown.language == "text"
    # "..." is any text of one line.
    pattern = ".*".join(map(re.escape, shown.text.split("...")))
    printed = re.sub(r" +$", "", done.stdout, flags=re.MULTILINE)
    assert re.fullmatch(pattern, printed), printed


AGENT = """
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
with provider.get_tracer("agent").start_as_current_span("chat") as span:
    span.set_attribute("gen_ai.operation.name", "chat")
    span.set_attribute("gen_ai.request.model", "gpt-4o")
    span.set_attribute("gen_ai.conversation.id", "of the variables")
    span.set_attribute("gen_ai.input.messages",
        '[{"role": "user", "parts": [{"type": "text", "content": "Who are you?"}]}]')
provider.shutdown()
"""


@pytest.mark.parametrize("block", of("text", "OTEL_EXPORTER_OTLP_HEADERS"))
def test_an_agent_is_seen_by_three_variables(reader: Reader, block: Block) -> None:
    program = (
        f"{reader.here(block.text)}\nexec {sys.executable} -c '{AGENT.replace(chr(39), QUOTE)}'"
    )
    reader.run("bash", "-euc", program)
    drawn = reader.run(sys.executable, "-m", "spanloom", "chat", "of the variables").stdout
    assert "Who are you?" in drawn


@pytest.mark.parametrize("block", of("js"))
def test_every_node_block_runs(reader: Reader, block: Block) -> None:
    for tool in ("node", "npm"):
        if shutil.which(tool) is None:
            pytest.skip(f"no {tool} on this machine")
    app = reader.home / "app"
    app.mkdir()
    (app / "proto").symlink_to(ROOT / "proto")
    contract.googleapis(app)
    (app / "package.json").write_text("{}")
    install = ["npm", "install", "--silent", "--no-audit", "--no-fund", *NODE_PACKAGES]
    subprocess.run(install, cwd=app, check=True, capture_output=True, timeout=170)
    (app / "call.js").write_text(reader.here(block.text))
    done = reader.run("node", "call.js", cwd=app)
    assert re.fullmatch(r"[0-9a-f]{32}\n", done.stdout)


@pytest.mark.parametrize("block", of("sh", "spanloom keys create"))
def test_keys_are_made_as_shown(reader: Reader, block: Block) -> None:
    creates = [line for line in block.text.splitlines() if "keys create" in line]
    for line in creates:
        # In the database: who follows the pages has no key yet.
        script = f"unset SPANLOOM_URL\n{reader.here(line)}\necho ${{SPANLOOM_KEY}}"
        said = reader.run("bash", "-euc", script)
        assert re.match(r"sl_[0-9a-f]{16}_\S{43}\n", said.stdout)


def test_the_chat_is_drawn_as_shown(reader: Reader) -> None:
    create, chat = (
        [b for b in ALL[README] if b.language == "sh" and word in b.text]
        for word in ("/events/batch", "spanloom chat")
    )
    reader.shell(create[0])
    drawn = reader.shell(chat[0]).stdout
    assert "What is in the context?" in drawn
    assert "Hello world" in drawn


@pytest.mark.parametrize("block", of("sh", "spanloom traces"))
def test_lists_are_printed_as_shown(reader: Reader, block: Block) -> None:
    assert reader.shell(block).stdout.startswith("trace id\t")


def test_the_database_is_read_with_sql_as_shown(reader: Reader) -> None:
    [create] = [b for b in ALL[README] if b.language == "sh" and "/events/batch" in b.text]
    reader.shell(create)
    [shown] = [b for b in ALL[ROOT / "docs/running.md"] if "spanloom sql" in b.text]
    printed = reader.shell(shown).stdout
    assert "model" in printed
    assert "inputs" in printed


@pytest.mark.parametrize("block", of("sh", "spanloom demo"))
def test_the_examples_are_made_as_shown(reader: Reader, block: Block) -> None:
    printed = reader.shell(block).stdout
    assert re.fullmatch(r"\d+ traces in the project demo, of the last seven days\n", printed)


@pytest.mark.parametrize("block", of("sh", "spanloom projects set"))
def test_limits_are_set_as_shown(
    reader: Reader, block: Block, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(reader.environment, "SPANLOOM_KEY", reader.server.key("my-app"))
    first, second, *listed = reader.shell(block).stdout.splitlines()
    told = "my-app has these limits of its own:"
    assert first == f"{told} spans-per-second 500, stored-spans 10000000"
    assert second == f"{told} bytes-per-second none, stored-spans 10000000"
    assert "bytes-per-second none, stored-spans 10000000" in listed[-1]


def test_the_shell_blocks_are_all_of_a_kind_that_is_tested() -> None:
    kinds = (
        *("curl ", "make ", "spanloom keys create", "spanloom chat", "spanloom sql"),
        *("spanloom traces", "spanloom demo", "spanloom projects set"),
    )
    assert [
        b
        for page in PAGES
        for b in ALL[page]
        if b.language == "sh" and not any(k in b.text for k in kinds)
    ] == []


def test_the_make_targets_are_there() -> None:
    made = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    asked = {
        t
        for page in PAGES
        for t in re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(), re.MULTILINE)
    }
    assert asked >= {"run", "test"}
    assert asked <= set(made)


def test_the_three_documented_calls_are_shown_as_they_are_documented() -> None:
    shown = "\n".join(b.text for b in ALL[README] if "curl" in b.text)
    bodies = [json.loads(m) for m in re.findall(r"<<'EOF'\n(.*?)\nEOF", shown, re.DOTALL)]
    for name in ("create_trace", "create_event_batch"):
        call = documented(name)
        assert call["request"] in bodies
        assert call["path"] in shown
    chat = documented("get_trace_chat")
    assert chat["path"] in shown
    (body,) = [json.loads(m) for m in re.findall(r"-d '(\{.*?\})'", shown, re.DOTALL)]
    assert body.keys() == chat["request"].keys()


def test_the_settings_are_those_of_the_program() -> None:
    rows = re.findall(r"^\| `(SPANLOOM_\w+)` \| *(.*?) *\|", README.read_text(), re.MULTILINE)
    shown = {name: default.strip("`") for name, default in rows}
    real = {
        config.PREFIX + f.name.upper(): str(f.default).lower()
        if f.type == "bool"
        else str(f.default)
        for f in dataclasses.fields(config.Settings)
    }
    real[config.PREFIX + "WORKERS"] = "the cores"
    assert shown == real
    options = [config.PREFIX + str(option.name).upper() for option in serve.params]
    assert sorted(list(shown)[:18]) == sorted(options)
    assert "The first eighteen are also options" in README.read_text()


def test_the_files_on_the_way_of_a_request_are_there() -> None:
    section = README.read_text().partition("## The way of a request")[2].partition("\n## ")[0]
    files = re.findall(r"`([\w/]+\.py)`", section)
    assert len(files) > 10
    assert [f for f in files if not (ROOT / "src" / "spanloom" / f).is_file()] == []


def test_the_rooms_of_the_architecture_are_those_of_the_package() -> None:
    section = (ROOT / "docs" / "architecture.md").read_text().partition("## The rooms")[2]
    rooms = re.findall(r"^\| `([\w.]+)` \|", section.partition("\n## ")[0], re.MULTILINE)
    package = ROOT / "src" / "spanloom"
    assert [room for room in rooms if not (package / room).exists()] == []
    packages = {path.parent.name for path in package.glob("*/__init__.py")} - {"v1"}
    assert packages <= set(rooms)


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_line_of_prose_is_too_long(page: Path) -> None:
    prose = re.sub(r"(?ms)^```.*?^```$|^\|[^\n]*$", "", page.read_text())
    assert [line for line in prose.splitlines() if len(line) > LONGEST_LINE] == []


@pytest.mark.parametrize("page", DOCUMENTS, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:)([^)]+)\)", page.read_text()):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w-]", "", h.lower().replace(" ", "-")) for h in headings]


def documented(name: str) -> Any:
    return json.loads((DOCUMENTED / f"{name}.json").read_text())


def shown_answer(block: Block) -> Any:
    """The JSON block that follows a call, if one does."""
    after = following(block)
    return json.loads(after.text) if after and after.language == "json" else None


def following(block: Block) -> Block | None:
    """The next block of the page."""
    page = ALL[next(p for p in PAGES if p.name == block.page)]
    return next(iter(page[page.index(block) + 1 :]), None)


def assert_shows(shown: Any, answer: Any) -> None:
    """The same, but that "..." stands for any text."""
    if isinstance(shown, dict):
        assert shown.keys() == answer.keys()
        for key, value in shown.items():
            assert_shows(value, answer[key])
    elif shown == "...":
        assert isinstance(answer, str)
    else:
        assert answer == shown
