"""/openapi.json by the word of a validator that knows OpenAPI 3.1."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from tests.servers import LiveServer
from tests.toolchains import need

VALIDATOR = "openapi-spec-validator==0.9.0"


@pytest.mark.polyglot
def test_the_document_is_valid(live: LiveServer, tmp_path: Path) -> None:
    need("python")
    url = f"http://{live.running.http_address}/openapi.json"
    file = tmp_path / "openapi.json"
    file.write_bytes(httpx.get(url, trust_env=False).content)
    # In an environment of its own: it needs other versions of packages than the server's tests.
    subprocess.run((sys.executable, "-m", "venv", tmp_path / "venv"), check=True)
    programs = tmp_path / "venv" / "bin"
    install = (programs / "pip", "install", "--quiet", VALIDATOR)
    subprocess.run(install, check=True, timeout=300)
    done = subprocess.run(
        (programs / "openapi-spec-validator", file), capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, f"{file}: OK\n"), done.stderr
