"""docs/limits.md has every setting that limits something, with its default."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

from spanloom.config import PREFIX, Settings

ROOT = Path(__file__).parents[1]
ROW = re.compile(rf"^\| `{PREFIX}([A-Z_]+)` \| ([^|]+) \|", re.MULTILINE)
UNITS = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "s": 1}
# Settings with a number that limit nothing.
NO_LIMITS = {
    *("retention_days", "workers", "lame_duck", "max_connection_age", "evaluation_lease"),
    "tracing_ratio",
}


def number(text: str) -> float:
    value, _, unit = text.strip().partition(" ")
    return float(value.replace(",", "")) * UNITS.get(unit, 1)


def test_the_page_has_every_limit_and_its_default() -> None:
    shown = {
        name.lower(): number(value)
        for name, value in ROW.findall((ROOT / "docs/limits.md").read_text())
    }
    limits = {
        setting.name: float(str(setting.default))
        for setting in fields(Settings)
        if type(setting.default) in (int, float) and setting.name not in NO_LIMITS
    }
    assert shown == limits
