"""Builds and runs a real grpc-gateway v2: the third opinion on the contract's REST mapping."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tools import contract

SOURCE = Path(__file__).parent / "polyglot" / "gateway"
MAIN = SOURCE / "main.go"
PLUGINS = (
    "google.golang.org/protobuf/cmd/protoc-gen-go@v1.36.12",
    "google.golang.org/grpc/cmd/protoc-gen-go-grpc@v1.6.0",
    "github.com/grpc-ecosystem/grpc-gateway/v2/protoc-gen-grpc-gateway@v2.33.0",
)


def build(workspace: Path, target: Path) -> Path:
    """Builds the gateway of a workspace of buf in an empty directory; needs Go."""
    shutil.copy(MAIN, target)
    path = f"{target / 'bin'}{os.pathsep}{contract.ENVIRONMENT['PATH']}"
    environment = {**os.environ, "GOBIN": str(target / "bin"), "PATH": path}
    template = str(SOURCE / "buf.gen.yaml")
    for command in (
        ("go", "mod", "init", "example.com/gateway"),
        *(("go", "install", plugin) for plugin in PLUGINS),
        ("buf", "generate", str(workspace / "proto"), "--template", template),
        ("go", "mod", "tidy"),
        ("go", "build", "-o", "gateway", "."),
    ):
        done = subprocess.run(command, cwd=target, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}\n{done.stderr}"
    return target / "gateway"


class GrpcGateway:
    """A running gateway, as a context manager; it listens at `address`.

    Args:
        program: what `build` returned.
        upstream: IP:PORT of a gRPC server without TLS.
    """

    address: str

    def __init__(self, program: Path, upstream: str) -> None:
        self._command = (str(program), upstream)

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(self._command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.address = self._process.stdout.readline().strip()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.kill()
        with self._process:
            pass
