"""docs/reliability.md names tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
NAMED = re.compile(r"`(tests/[\w/]+\.py)(?:::(test_\w+))?`")


def test_every_test_that_the_page_names_exists() -> None:
    named = NAMED.findall((ROOT / "docs/reliability.md").read_text())
    assert len(named) > 20
    missing = [
        (file, test)
        for file, test in named
        if not (ROOT / file).exists() or f"def {test}(" * bool(test) not in (ROOT / file).read_text()
    ]
    assert not missing
