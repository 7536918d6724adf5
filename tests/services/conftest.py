from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator

import pytest

from spanloom.adapters.restore import restore
from spanloom.model.projects import INSTANCE
from spanloom.store.store import Store
from tests.databases import new_url
from tests.services.callers import Caller

_numbers = itertools.count(1)


@pytest.fixture(scope="package")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    return new_url("sqlite", tmp_path_factory.mktemp("store"))


@pytest.fixture(scope="package")
def store(url: str) -> Iterator[Store]:
    opened = asyncio.run(Store.open(url, restore=restore))
    yield opened
    asyncio.run(opened.close())


@pytest.fixture
def caller(store: Store) -> Caller:
    return Caller(store, f"project-{next(_numbers)}")


@pytest.fixture
def instance(store: Store) -> Caller:
    return Caller(store, INSTANCE)
