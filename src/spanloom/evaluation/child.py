"""The process in which evaluators run, as `python -m spanloom.evaluation.child`.

It reads runs from standard input and writes what they give to standard output, each as the length
of a pickle and the pickle; `sandbox` is the other side. It ends when standard input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import logging
import math
import os
import pickle
import resource
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from spanloom.evaluation import judge
from spanloom.evaluation.kinds import kinds
from spanloom.evaluation.sandbox import LENGTH, STARTED, ChildSettings
from spanloom.evaluation.subject import Result

_NICE = 10


def main() -> None:
    logging.basicConfig(level=logging.WARNING)
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a plug-in prints is no answer
    settings: ChildSettings = _read(source)
    with contextlib.suppress(judge.JudgeOffError):
        judge.configure(*settings.judge)
    kinds()  # plug-ins are imported before memory is limited
    os.nice(_NICE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = _memory() + settings.memory_bytes
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    asyncio.run(_serve(source, sink, settings.cpu_seconds))


async def _serve(source: BinaryIO, sink: BinaryIO, cpu_seconds: float) -> None:
    loop = asyncio.get_running_loop()
    runs: set[asyncio.Task[None]] = set()
    writing = threading.Lock()

    def answer(number: int, found: tuple[bool, Any]) -> None:
        with writing:
            _write(sink, (number, *found))

    async def run(number: int, name: str, *arguments: Any) -> None:
        _limit_cpu(cpu_seconds)
        evaluate = kinds()[name].evaluate
        if inspect.iscoroutinefunction(evaluate):
            try:
                found = (True, await evaluate(*arguments))
            except Exception as error:  # noqa: BLE001 - raised on the other side
                found = (False, error)
            answer(number, _sendable(found))
        else:
            await loop.run_in_executor(
                None, lambda: answer(number, _sendable(_called(evaluate, *arguments)))
            )

    def start(job: tuple[Any, ...]) -> None:
        task = loop.create_task(run(*job))
        runs.add(task)
        task.add_done_callback(runs.discard)

    def read() -> None:
        while True:
            try:
                job = _read(source)
            except EOFError:
                os._exit(0)  # the server has ended, whatever is under way here
            loop.call_soon_threadsafe(start, job)

    answer(STARTED, (True, None))
    threading.Thread(target=read, daemon=True).start()
    await asyncio.Event().wait()


def _called(evaluate: Callable[..., Any], *arguments: Any) -> tuple[bool, Any]:
    try:
        return True, evaluate(*arguments)
    except Exception as error:  # noqa: BLE001 - raised on the other side
        return False, error


def _sendable(found: tuple[bool, Any]) -> tuple[bool, Any]:
    """What can be read on the other side: of the errors of others their text."""
    is_result, value = found
    if is_result:
        if isinstance(value, Result):
            return found
        return False, TypeError(f"not a Result: {type(value).__name__}")
    if isinstance(value, judge.JudgeOffError | judge.VerdictError):
        return False, type(value)(str(value))
    return False, RuntimeError(f"{type(value).__name__}: {value}"[:2000])


def _limit_cpu(seconds: float) -> None:
    """Let the process have so many seconds of CPU time from now on, else the system ends it."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    until = math.ceil(used.ru_utime + used.ru_stime + seconds)
    resource.setrlimit(resource.RLIMIT_CPU, (until, resource.RLIM_INFINITY))


def _memory() -> int:
    """The address space that the process has, in bytes."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:  # no /proc
        return 1 << 30


def _read(source: BinaryIO) -> Any:
    length = source.read(LENGTH.size)
    if len(length) < LENGTH.size:
        raise EOFError
    return pickle.loads(source.read(LENGTH.unpack(length)[0]))  # noqa: S301 - of the server


def _write(sink: BinaryIO, value: object) -> None:
    data = pickle.dumps(value)
    sink.write(LENGTH.pack(len(data)) + data)
    sink.flush()


if __name__ == "__main__":
    main()
