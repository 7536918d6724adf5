"""Runs the conformance suite of Connect against this server's layer: `make test-conformance`.

It builds the suite's runner, which is a Go program, and gives it a server (`server.py`) to start.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
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
        server = (sys.executable, "-m", "tests.conformance.server")
        config = ROOT / "tests" / "conformance" / "config.yaml"
        options = ("--mode", "server", "--conf", str(config), *arguments)
        command = (str(runner), *options, "--", *server)
        path = os.pathsep.join([generated, str(ROOT / "src"), str(ROOT)])
        environment = {**os.environ, "PYTHONPATH": path}
        return subprocess.run(command, cwd=ROOT, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
