"""Every test here runs on each database. They share it and keep apart by projects of their own, as
clients do."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest

from spanloom.store.store import Store
from tests.databases import DATABASES, new_url

T = TypeVar("T")
Run = Callable[[Coroutine[Any, Any, T]], T]
_numbers = itertools.count(1)


@pytest.fixture(scope="session", params=DATABASES)
def url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database for the whole run."""
    return new_url(request.param, tmp_path_factory.mktemp("store"))


@pytest.fixture(params=DATABASES)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A new database without tables."""
    return new_url(request.param, tmp_path)


@pytest.fixture(scope="module")
def runner() -> Iterator[asyncio.Runner]:
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def run(runner: asyncio.Runner) -> Run[Any]:
    """Runs a coroutine on the tests' event loop."""
    return runner.run


@pytest.fixture(scope="module")
def store(url: str, runner: asyncio.Runner) -> Iterator[Store]:
    store = runner.run(Store.open(url))
    yield store
    runner.run(store.close())


@pytest.fixture
def project() -> str:
    """A project that no other test uses."""
    return f"project-{next(_numbers)}"
