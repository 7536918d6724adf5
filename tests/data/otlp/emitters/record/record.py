"""Runs one script against the stand-in, and keeps what it exports.

    python record.py DIRECTORY COMMAND...

The environment names the stand-in as the model's API and as the OTLP endpoint.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

BOUND_S = 180


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until_open(port: int) -> None:
    for _ in range(100):
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    sys.exit("the stand-in does not answer")


def main(directory: str, *command: str) -> int:
    port = free_port()
    endpoint = Path(__file__).with_name("endpoint.py")
    at = f"http://127.0.0.1:{port}"
    stand_in = subprocess.Popen([sys.executable, str(endpoint), str(port), directory])
    try:
        until_open(port)
        return subprocess.run(
            command,
            timeout=BOUND_S,
            check=False,
            env={
                **os.environ,
                "RECORDER": at,
                "RECORDER_PORT": str(port),
                "OPENAI_BASE_URL": at + "/v1",
                "OPENAI_API_BASE": at + "/v1",
                "OPENAI_API_KEY": "sk-none",
                "ANTHROPIC_BASE_URL": at,
                "ANTHROPIC_API_KEY": "sk-none",
                "GOOGLE_GEMINI_BASE_URL": at,
                "GEMINI_API_KEY": "none",
                "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
                "OTEL_EXPORTER_OTLP_ENDPOINT": at,
                "OTEL_SERVICE_NAME": "weather",
            },
        ).returncode
    finally:
        stand_in.terminate()
        stand_in.wait()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
