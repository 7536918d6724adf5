"""Runs the conformance suite of Connect against this server's layer: `make test-conformance`.

It builds the suite's runner, which is a Go program, and starts the server (`server.py`).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parents[2]
MODULE, VERSION = "connectrpc.com/conformance", "v1.0.7"
TOOLS = ROOT / "build" / "conformance"
WELL_KNOWN = Path(grpc_tools.__file__).parent / "_proto"
PROTOS = ("config", "server_compat", "service", "suite")


def main(arguments: list[str]) -> int:
    if shutil.which("go") is None:
        sys.exit("the conformance suite needs Go 1.24 or later")
    runner = TOOLS / f"connectconformance-{VERSION}"
    if not runner.is_file():
        package = f"{MODULE}/cmd/connectconformance@{VERSION}"
        subprocess.run(
            ("go", "install", package), env={**os.environ, "GOBIN": str(TOOLS)}, check=True
        )
        (TOOLS / "connectconformance").rename(runner)
    cache = subprocess.run(
        ("go", "env", "GOMODCACHE"), check=True, stdout=subprocess.PIPE, text=True
    )
    protos = Path(cache.stdout.strip()) / f"{MODULE}@{VERSION}" / "proto"
    with TemporaryDirectory() as generated:
        folder = protos / "connectrpc" / "conformance" / "v1"
        files = [str(folder / f"{name}.proto") for name in PROTOS]
        if protoc.main(
            ["protoc", f"-I{protos}", f"-I{WELL_KNOWN}", f"--python_out={generated}", *files]
        ):
            sys.exit("the suite's proto files cannot be compiled")
        config = ROOT / "tests" / "conformance" / "config.yaml"
        options = ("--mode", "server", "--conf", str(config), *arguments)
        with _server(generated) as address:
            return subprocess.run((str(runner), *options, "--", *address), cwd=ROOT).returncode


@contextmanager
def _server(generated: str) -> Iterator[tuple[str, ...]]:
    """A command that looks to the suite like a server: it writes the address of one that runs.

    The suite waits 10 seconds for a server to start. Python needs longer on a busy machine.
    """
    path = os.pathsep.join([generated, str(ROOT / "src"), str(ROOT)])
    command = (sys.executable, "-m", "tests.conformance.server")
    environment = {**os.environ, "PYTHONPATH": path}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE) as server:
        try:
            assert server.stdout is not None
            size = server.stdout.read(4)
            answer = Path(generated) / "answer"
            answer.write_bytes(size + server.stdout.read(int.from_bytes(size)))
            yield ("sh", "-c", 'cat "$1" && exec sleep 3600', "server", str(answer))
        finally:
            server.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
