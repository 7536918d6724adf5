"""Every input that `make fuzz` has found is refused or read, and so is some new input."""

from __future__ import annotations

import random

import pytest

from tests.fuzz.__main__ import changed, corpus, failure
from tests.fuzz.targets import TARGETS, seeds


@pytest.mark.parametrize("name", TARGETS)
def test_any_input_is_read_or_refused(name: str) -> None:
    changes = random.Random(name)
    known = [*seeds(name), *corpus(name)]
    for data in known:
        assert not failure(name, data)
    for _ in range(200):
        assert not failure(name, changed(changes.choice(known), known, changes))


@pytest.mark.parametrize("name", TARGETS)
def test_the_seeds_are_read_to_the_end(name: str) -> None:
    if name not in ("tokens", "packed"):  # which nobody but the server makes, or which are refused
        for data in seeds(name):
            TARGETS[name](data)


def test_what_a_target_must_not_do_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(data: bytes) -> None:
        raise KeyError(data)

    monkeypatch.setattr("tests.fuzz.__main__.TARGETS", {"broken": broken})
    assert "KeyError: b'x'" in failure("broken", b"x")
