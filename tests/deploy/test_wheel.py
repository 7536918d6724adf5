"""The package as people install it: the wheel holds the web page, and serves it."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import httpx
import pytest

from spanloom.server.ui.files import is_built
from tests.wheels import build, copy_of_sources


@pytest.fixture(scope="module")
def wheel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of what git knows, by an isolated build, as `uv build` does for anybody."""
    if not request.config.getoption("--full"):
        pytest.skip("builds the package: runs with --full")
    if not is_built():
        pytest.skip("the web page cannot be built here: make ui")
    source, out = (tmp_path_factory.mktemp(name) for name in ("source", "wheel"))
    return build(copy_of_sources(source), out)


def test_it_holds_the_page_and_the_licences_of_its_libraries(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = [n for n in archive.namelist() if n.startswith("spanloom/server/ui/static/")]
        notices = archive.read("spanloom/server/ui/static/THIRD-PARTY-NOTICES.txt").decode()
    assert "spanloom/server/ui/static/index.html" in names
    assert [name for name in names if re.search(r"/a/index-.+\.js$", name)]
    for library in ("preact", "@preact/signals", "markdown-it", "diff", "hyparquet-writer"):
        assert re.search(rf"^{library} \d", notices, re.MULTILINE), library


def test_it_serves_the_page_from_a_fresh_environment(wheel: Path, tmp_path: Path) -> None:
    fresh = tmp_path / "venv"
    subprocess.run((sys.executable, "-m", "venv", fresh), check=True)
    python = fresh / "bin" / "python"
    install = (python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", wheel)
    subprocess.run(install, check=True)
    # The dependencies are those of this environment; the package is that of the wheel.
    (site,) = fresh.glob("lib/python*/site-packages")
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    serve = ("serve", "--grpc-address", "127.0.0.1:0", "--http-address", "127.0.0.1:0")
    process = subprocess.Popen(
        (fresh / "bin" / "spanloom", *serve),
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        printed = "".join(process.stdout.readline() for _ in range(3))
        address = re.search(r"web page: (http://\S+)/ui/login#\S+", printed)
        assert address, printed
        with httpx.Client(base_url=address[1], trust_env=False) as client:
            page = client.get("/ui/")
            script = re.search(r'src="\./(a/[^"]+\.js)"', page.text)
            assert script, page.text
            assert client.get(f"/ui/{script[1]}").status_code == 200
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=30)
        process.kill()
