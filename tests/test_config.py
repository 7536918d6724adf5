"""Settings that follow the machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from spanloom import config


@pytest.mark.parametrize(
    ("quota", "cores"),
    [
        (None, 8),
        ("max 100000", 8),
        ("50000 100000", 1),
        ("250000 100000", 3),
        ("1600000 100000", 8),
        ("100000 0", 8),
        ("", 8),
    ],
)
def test_a_container_has_the_cores_of_its_quota(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, quota: str | None, cores: int
) -> None:
    file = tmp_path / "cpu.max"
    if quota is not None:
        file.write_text(quota + "\n")
    monkeypatch.setattr(config, "_CPU_QUOTA", file)
    monkeypatch.setattr(config, "CAN_SHARE_PORTS", True)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    assert config.cores() == cores
    monkeypatch.setattr(config, "CAN_SHARE_PORTS", False)
    assert config.cores() == 1
