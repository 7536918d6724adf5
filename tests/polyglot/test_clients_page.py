"""docs/clients.md from an empty directory to the first span, in every language, as printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.polyglot.flaky import flaky
from tests.polyglot.page import Block, sections
from tests.servers import LiveServer
from tests.toolchains import need

SECTIONS = sections()
PROLOGUE = "Before you start"
# The sections that have commands, and the toolchain that each needs.
TOOLCHAINS = {
    "Go": "go",
    "TypeScript with Connect": "node",
    "TypeScript over REST": "node",
    "Node.js with grpc-js": "node",
    "Java": "java",
    "Kotlin": "java",
    "Rust": "rust",
    "Python": "python",
    "curl": "jq",
    "buf": "jq",
}
# Those that need only what `make test` has.
SHORT = ("Python", "curl", "buf")
# Those that do not retry by themselves, or not over gRPC.
WITHOUT_RETRIES = ("TypeScript over REST", "curl", "buf")
SECONDS = 900


def printed() -> str:
    """What the page says that each program prints."""
    return SECTIONS[PROLOGUE][-1].text


def follow(section: str, app: Path, clone: Path, server: LiveServer, *, short: bool) -> str:
    """What the program of a section prints, if the first call of each method fails."""
    blocks = [b for b in SECTIONS[section] if not short or "pip install" not in b.text]
    address = server.running.grpc_address
    if section in WITHOUT_RETRIES:
        return run(blocks, app, clone, server, address)
    with flaky(address) as unsteady:
        return run(blocks, app, clone, server, unsteady)


def run(blocks: list[Block], app: Path, clone: Path, server: LiveServer, grpc_address: str) -> str:
    """Saves and runs the blocks in one shell; returns what the last one printed."""
    steps = ["set -euo pipefail"]
    for number, block in enumerate(blocks):
        text = block.text.replace("127.0.0.1:4317", grpc_address)
        text = text.replace("127.0.0.1:4318", server.running.http_address)
        if block.file:
            (app / block.file).parent.mkdir(parents=True, exist_ok=True)
            (app / f".block-{number}").write_text(text)
            steps.append(f"mkdir -p $(dirname {block.file})\ncp .block-{number} {block.file}")
        else:
            # What an earlier command printed is not what the program prints.
            steps.append(f"{{\n{text}\n}} > .printed")
    environment = {
        **os.environ,
        "CI": "true",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "SPANLOOM": str(clone),
        "SPANLOOM_KEY": server.key("default"),
        "no_proxy": "127.0.0.1",
    }
    environment.pop("PYTHONPATH", None)
    # A file, for a tail that is left alone would hold a pipe open until its deadline.
    with (app / ".output").open("w") as output_file:
        done = subprocess.run(
            ("bash", "-c", "\n".join(steps)),
            cwd=app,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output_file,
            stderr=subprocess.STDOUT,
            timeout=SECONDS,
        )
    said = app / ".printed"
    # Maven sets colours back even where it uses none.
    output = re.sub(r"\x1b\[\d*m", "", said.read_text()) if said.exists() else ""
    assert done.returncode == 0, f"{output}\n{(app / '.output').read_text()}"
    return output


def test_every_section_is_run() -> None:
    commands = {t for t, blocks in SECTIONS.items() if any(b.language == "sh" for b in blocks)}
    assert commands == set(TOOLCHAINS)


def test_every_block_is_saved_or_run() -> None:
    loose = {b.language for t in TOOLCHAINS for b in SECTIONS[t] if not b.file}
    assert loose == {"sh"}


@pytest.mark.parametrize("section", SHORT)
def test_the_short_form(section: str, tmp_path: Path, clone: Path, live: LiveServer) -> None:
    """With the tools that `make` has installed, and those of the shell."""
    if section != "Python":
        need(TOOLCHAINS[section])
    assert follow(section, tmp_path, clone, live, short=True) == printed()


@pytest.mark.polyglot
@pytest.mark.parametrize("section", TOOLCHAINS)
def test_from_nothing(section: str, tmp_path: Path, clone: Path, live: LiveServer) -> None:
    need(TOOLCHAINS[section])
    assert follow(section, tmp_path, clone, live, short=False) == printed()
