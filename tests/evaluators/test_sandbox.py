"""Evaluators run in a process of their own, which ends when one takes too much."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from spanloom.evaluation.kinds import BUILT_IN, Kind
from spanloom.evaluation.sandbox import ChildSettings, RunKilledError, RunLostError, Sandbox
from spanloom.evaluation.subject import Result, Subject

PLUG_IN = """
import os, time
from spanloom.evaluation.kinds import Kind
from spanloom.evaluation.subject import Result

def spin(subject, settings):
    while True:
        pass

def hold(subject, settings):
    return Result(float(len(bytearray(4 << 30))))

async def wait(subject, settings):
    return Result(0.5, os.environ.get("SPANLOOM_JUDGE_API_KEY"))

spins, holds, waits = Kind(spin), Kind(hold), Kind(wait)
sleeps = Kind(lambda subject, settings: time.sleep(600))
dies = Kind(lambda subject, settings: os._exit(1))
fails = Kind(lambda subject, settings: 1 / 0)
prints = Kind(lambda subject, settings: print("x" * 100_000) or Result(1.0))
"""
SUBJECT = Subject(output="x")


@pytest.fixture
def plug_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Kind]:
    """The kinds of a package that only the path of the process has."""
    names = ("spins", "holds", "waits", "sleeps", "dies", "fails", "prints")
    info = tmp_path / "plugged-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: plugged\nVersion: 1.0\n")
    points = [f"{name} = sandbox_plugged:{name}" for name in names]
    (info / "entry_points.txt").write_text("\n".join(["[spanloom.evaluators]", *points]))
    (tmp_path / "sandbox_plugged.py").write_text(PLUG_IN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("SPANLOOM_JUDGE_API_KEY", "secret")
    import sandbox_plugged  # type: ignore[import-not-found]

    monkeypatch.delitem(sys.modules, "sandbox_plugged")
    return lambda name: getattr(sandbox_plugged, name)


def in_sandbox(work: Callable[[Sandbox], Awaitable[None]], cpu_seconds: float = 1.0) -> None:
    async def run() -> None:
        sandbox = Sandbox(ChildSettings(cpu_seconds=cpu_seconds, memory_bytes=256 << 20))
        try:
            await work(sandbox)
        finally:
            await sandbox.close()

    asyncio.run(run())


def test_runs_are_answered_and_errors_are_those_of_the_run(plug_in: Callable[[str], Kind]) -> None:
    async def work(sandbox: Sandbox) -> None:
        exact = BUILT_IN["length"]
        found = await sandbox("length", exact, SUBJECT, {"max": 1}, 60)
        assert isinstance(found, Result)
        assert found.score == 1
        with pytest.raises(RuntimeError, match="ZeroDivisionError"):
            await sandbox("fails", plug_in("fails"), SUBJECT, {}, 60)
        assert await sandbox("prints", plug_in("prints"), SUBJECT, {}, 60) == Result(1.0)
        # Not the server's secrets.
        assert await sandbox("waits", plug_in("waits"), SUBJECT, {}, 60) == Result(0.5, None)

    in_sandbox(work)


def test_a_run_that_takes_too_much_ends_alone(plug_in: Callable[[str], Kind]) -> None:
    async def work(sandbox: Sandbox) -> None:
        for name in ("spins", "dies"):
            with pytest.raises(RunKilledError):
                await sandbox(name, plug_in(name), SUBJECT, {}, 60)
        with pytest.raises(RuntimeError, match="MemoryError"):
            await sandbox("holds", plug_in("holds"), SUBJECT, {}, 60)
        found = await sandbox("length", BUILT_IN["length"], SUBJECT, {"max": 1}, 60)
        assert isinstance(found, Result)

    in_sandbox(work)


def test_a_process_that_starts_slowly_is_not_the_fault_of_the_run(
    plug_in: Callable[[str], Kind], tmp_path: Path
) -> None:
    plug_in("spins")
    gate = tmp_path / "gate"
    waits = "import pathlib, time\n" + f"while not pathlib.Path({str(gate)!r}).exists():\n"
    module = tmp_path / "sandbox_plugged.py"
    module.write_text(waits + "    time.sleep(0.01)\n" + PLUG_IN)

    async def work(sandbox: Sandbox) -> None:
        length = BUILT_IN["length"]
        with pytest.raises(RunLostError):
            await sandbox("length", length, SUBJECT, {"max": 1}, 0.2)
        gate.touch()
        found = await sandbox("length", length, SUBJECT, {"max": 1}, 60)
        assert isinstance(found, Result)

    in_sandbox(work)


def test_a_run_that_waits_for_too_long_fails_without_blame(plug_in: Callable[[str], Kind]) -> None:
    async def work(sandbox: Sandbox) -> None:
        found = await sandbox("length", BUILT_IN["length"], SUBJECT, {"max": 1}, 60)
        assert isinstance(found, Result)  # the process has started
        for _ in range(4):  # nor is the evaluator suspended
            with pytest.raises((TimeoutError, RunLostError)):
                await sandbox("sleeps", plug_in("sleeps"), SUBJECT, {}, 2)

    in_sandbox(work)


def test_a_process_that_does_not_start_is_a_failure(
    plug_in: Callable[[str], Kind], tmp_path: Path
) -> None:
    plug_in("spins")
    (tmp_path / "sandbox_plugged.py").write_text("import os; os._exit(1)")

    async def work(sandbox: Sandbox) -> None:
        for _ in range(2):
            with pytest.raises(RuntimeError, match="did not start"):
                await sandbox("length", BUILT_IN["length"], SUBJECT, {"max": 1}, 60)

    in_sandbox(work)


def test_an_evaluator_that_ends_its_process_again_and_again_is_suspended(
    plug_in: Callable[[str], Kind],
) -> None:
    async def work(sandbox: Sandbox) -> None:
        for _ in range(3):
            with pytest.raises(RunKilledError, match="ended its process"):
                await sandbox("dies", plug_in("dies"), SUBJECT, {}, 60)
        with pytest.raises(RunKilledError, match="suspended"):
            await sandbox("dies", plug_in("dies"), SUBJECT, {}, 60)

    in_sandbox(work)


def test_a_schema_that_grows_exponentially_ends_its_process_alone() -> None:
    defs: dict[str, object] = {
        f"a{i}": {"allOf": [{"$ref": f"#/$defs/a{i + 1}"}] * 2} for i in range(34)
    }
    schema = {"$defs": {**defs, "a34": {"type": "object"}}, "$ref": "#/$defs/a0"}

    async def work(sandbox: Sandbox) -> None:
        subject = Subject(output={"a": 1})
        with pytest.raises(RunKilledError):
            await sandbox("json_schema", BUILT_IN["json_schema"], subject, {"schema": schema}, 60)

    in_sandbox(work)
