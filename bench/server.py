"""A server as its own process, as users run it."""

from __future__ import annotations

import subprocess
import sys
from typing import Self


class Server:
    """`with Server(database_url) as server:`; listens on free ports, without authentication."""

    def __init__(self, database: str) -> None:
        self._database = database

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "spanloom",
                "serve",
                "--no-auth",
                "--database",
                self._database,
                "--grpc-address",
                "127.0.0.1:0",
                "--http-address",
                "127.0.0.1:0",
                "--log-level",
                "warning",
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        words = self._process.stdout.readline().split()
        self.grpc_address = words[words.index("gRPC") + 1].rstrip(",")
        self.http_address = words[words.index("HTTP") + 1]
        return self

    def __exit__(self, *failure: object) -> None:
        self._process.terminate()
        self._process.wait(30)
        assert self._process.stdout is not None
        self._process.stdout.close()
