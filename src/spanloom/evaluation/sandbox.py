"""Processes in which evaluators run: what an evaluator takes, it takes from no call of a client.

There are two, each started when it is needed and ended when it is idle: one for evaluators that
compute, which run one after the other, and one for those that wait for a model. Each has limits of
CPU time for one run and of memory, and a lower priority. The program is `evaluation.child`.
"""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import itertools
import math
import os
import pickle
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from spanloom.evaluation.kinds import Kind, version
from spanloom.evaluation.subject import Subject
from spanloom.model import Json

LENGTH = struct.Struct(">Q")
# The number of the first answer of a process, which says that it has started.
STARTED = -1
_IDLE_SECONDS = 60.0
# An evaluator that ended its process so often is not run for a while.
_MOST_KILLED = 3
_SUSPENDED_SECONDS = 600.0
_SECRETS = "SPANLOOM_"
# A run that did not end in time is to blame for it if it used so much CPU time.
_BUSY_SECONDS = 0.2


class RunKilledError(Exception):
    """The run ended its process: it took too much time or memory, or crashed."""


class RunLostError(Exception):
    """The run did not take place: another one ended its process, or it had to wait too long."""


@dataclass(frozen=True, slots=True)
class ChildSettings:
    """What a process is started with: the judge's endpoint, the CPU seconds of a run, the bytes of
    memory beyond what the program itself takes, and where Python finds modules."""

    judge: tuple[str, str, str] = ("", "", "")
    cpu_seconds: float = 10.0
    memory_bytes: int = 512 << 20
    path: tuple[str, ...] = field(default_factory=lambda: tuple(sys.path))


class Sandbox:
    """Runs evaluators in the two processes, from one event loop."""

    def __init__(self, settings: ChildSettings) -> None:
        self._computing = _Child(settings, one_by_one=True)
        self._waiting = _Child(settings, one_by_one=False)
        # By the version of an evaluator: how often it ended its process, and when it did last.
        self._killed: dict[str, tuple[int, float]] = {}

    async def __call__(
        self, name: str, kind: Kind, subject: Subject, settings: Mapping[str, Json], seconds: float
    ) -> object:
        """What the evaluator returns.

        Raises:
            RunKilledError: It computed for longer than `seconds`, or ended its process.
            TimeoutError: It did not end in time, and did not compute either.
            RunLostError: It may be tried again.
            Exception: What the evaluator raised.
        """
        waits = inspect.iscoroutinefunction(kind.evaluate)
        child = self._waiting if waits else self._computing
        evaluator, now = version(name, settings), asyncio.get_running_loop().time()
        times, last = self._killed.get(evaluator, (0, now))
        if now > last + _SUSPENDED_SECONDS:
            times = 0
        if times >= _MOST_KILLED:
            raise RunKilledError("the evaluator ended its process too often, and is suspended")
        try:
            return await child.run((name, subject, dict(settings)), seconds)
        except RunKilledError:
            self._killed[evaluator] = times + 1, asyncio.get_running_loop().time()
            raise

    async def close(self) -> None:
        """End both processes."""
        for child in (self._computing, self._waiting):
            await child.end()


class _Child:
    """A process, and the runs that are in it."""

    def __init__(self, settings: ChildSettings, *, one_by_one: bool) -> None:
        self._settings = settings
        self._turn: contextlib.AbstractAsyncContextManager[Any] = (
            asyncio.Lock() if one_by_one else contextlib.nullcontext()
        )
        self._one_by_one = one_by_one
        self._starting = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._has_started = asyncio.Event()  # or has ended
        self._readings: set[asyncio.Task[None]] = set()  # each until its process has ended
        self._numbers = itertools.count()
        self._runs: dict[int, asyncio.Future[Any]] = {}
        self._idle: asyncio.TimerHandle | None = None

    async def run(self, job: tuple[Any, ...], seconds: float) -> object:
        async with contextlib.AsyncExitStack() as stack:
            try:
                # A part of the time is for the runs before this one, and for the process to start,
                # which takes long on a loaded machine.
                async with asyncio.timeout(seconds / 2):
                    await stack.enter_async_context(self._turn)
                    process = await self._started()
                    await self._has_started.wait()
            except TimeoutError:
                self._end_when_idle()
                raise RunLostError("the process was busy, or started too slowly") from None
            if self._process is not process:
                raise RuntimeError("the process of the evaluators did not start")
            number = next(self._numbers)
            done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            self._runs[number] = done
            used_before = _cpu_seconds(process.pid)
            try:
                await _send(process, (number, *job))
                async with asyncio.timeout(seconds / 2 if self._one_by_one else seconds):
                    is_result, value = await done
            except TimeoutError:
                if not self._one_by_one:  # the model is slow, and the process serves others
                    raise
                used = _cpu_seconds(process.pid) - used_before
                await self.end()
                if used < _BUSY_SECONDS:  # it waited, or the machine had no time for it
                    raise
                raise RunKilledError("it did not end in time") from None
            except (ConnectionError, EOFError):
                if self._one_by_one or len(self._runs) == 1:
                    raise RunKilledError("it ended its process") from None
                raise RunLostError("the process ended") from None
            finally:
                self._runs.pop(number, None)
                self._end_when_idle()
            if is_result:
                return value
            raise value

    async def _started(self) -> asyncio.subprocess.Process:
        async with self._starting:
            if self._idle is not None:
                self._idle.cancel()
            if self._process is not None and self._process.returncode is None:
                return self._process
            # Neither the password of the database nor the key of the judge is in its environment.
            env = {k: v for k, v in os.environ.items() if not k.startswith(_SECRETS)}
            env["PYTHONPATH"] = os.pathsep.join(filter(None, self._settings.path))
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "spanloom.evaluation.child"),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                env=env,
            )
            self._process = process
            self._has_started.clear()
            reading = asyncio.create_task(self._read(process))
            self._readings.add(reading)
            reading.add_done_callback(self._readings.discard)
            await _send(process, self._settings)
            return process

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        """Hand what the process answers to the runs that wait, until it ends."""
        source = cast(asyncio.StreamReader, process.stdout)
        try:
            while True:
                length = LENGTH.unpack(await source.readexactly(LENGTH.size))[0]
                answer = pickle.loads(await source.readexactly(length))  # noqa: S301 - our program
                number, is_result, value = answer
                if number == STARTED:
                    self._has_started.set()
                run = self._runs.get(number)
                if run is not None and not run.done():
                    run.set_result((is_result, value))
        except Exception:  # noqa: BLE001 - also what cannot be unpickled
            if self._process is process:
                self._process = None
                self._has_started.set()
            for run in self._runs.values():
                if not run.done():
                    run.set_exception(ConnectionError())
        finally:
            _kill(process)
            cast(asyncio.StreamWriter, process.stdin).close()
            await process.wait()

    def _end_when_idle(self) -> None:
        if self._runs:
            return
        if self._idle is not None:
            self._idle.cancel()
        process = self._process
        if process is not None:
            loop = asyncio.get_running_loop()
            self._idle = loop.call_later(_IDLE_SECONDS, _kill, process)

    async def end(self) -> None:
        """End the process; runs in it are lost."""
        process, self._process = self._process, None
        if self._idle is not None:
            self._idle.cancel()
        if process is not None:
            _kill(process)
        if self._readings:
            await asyncio.wait(self._readings)


def _cpu_seconds(pid: int) -> float:
    """What a process has used; infinite where nobody can say, so that the difference of two is no
    number and nothing is excused by it.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return math.inf
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _kill(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.kill()


async def _send(process: asyncio.subprocess.Process, value: object) -> None:
    data = pickle.dumps(value)
    sink = cast(asyncio.StreamWriter, process.stdin)
    sink.write(LENGTH.pack(len(data)) + data)
    await sink.drain()
