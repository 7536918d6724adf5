"""A process whose writer has died ends, and another takes its place."""

from __future__ import annotations

import itertools
import os
import threading
from pathlib import Path

import httpx

from tests.clients import until
from tests.databases import new_url
from tests.processes import EVENTS, Served, stopped


def serve(home: Path, workers: int) -> tuple[Served, Path]:
    """A server, and the file that makes a writer die."""
    fault = home / "fault"
    served = Served(
        new_url("sqlite", home),
        home / "log",
        workers=workers,
        program="tests.server.dying_writer",
        environ={**os.environ, "DYING_WRITER": str(fault)},
    )
    return served, fault


def test_a_worker_whose_writer_died_is_replaced(tmp_path: Path) -> None:
    numbers = itertools.count()
    stop, enough = threading.Event(), threading.Semaphore(0)
    written: list[int] = []
    refused: list[httpx.Response] = []

    served, fault = serve(tmp_path, workers=2)
    with stopped(served):

        def write() -> None:
            while not stop.is_set():
                number = next(numbers)
                try:
                    answer = served.write(number)
                except httpx.TransportError:  # its process has stopped to listen
                    continue
                if answer.status_code == 200:
                    written.append(number)
                    enough.release()
                else:
                    refused.append(answer)

        writers = [threading.Thread(target=write) for _ in range(4)]
        for writer in writers:
            writer.start()
        assert enough.acquire(timeout=60)
        fault.touch()
        # Another process has taken its place, and writes go on.
        until(lambda: "exited with status 1; a new one starts" in served.log.read_text(), 60)
        before = len(written)
        until(lambda: len(written) >= before + 20, 60)
        stop.set()
        for writer in writers:
            writer.join(60)
        assert {answer.status_code for answer in refused} == {503}
        assert [served.stored(number) for number in written] == [EVENTS] * len(written)
        assert "a fault that nobody expected" in served.log.read_text()


def test_a_server_of_one_process_ends(tmp_path: Path) -> None:
    served, fault = serve(tmp_path, workers=1)
    with stopped(served):
        assert served.write(0).status_code == 200
        fault.touch()
        answer = served.write(1)
        assert answer.status_code == 503
        assert answer.headers["retry-after"]
        assert served.process.wait(60) == 1
