"""A short run of the history checker on every database: what servers answer is what the model
allows.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.databases import DATABASES, new_url
from tests.history.run import run


@pytest.mark.parametrize("database", DATABASES)
def test_every_read_is_explained_by_the_writes(database: str, tmp_path: Path) -> None:
    found = run(new_url(database, tmp_path), tmp_path, seed=1, seconds=12)
    assert found.is_clean, str(found)
    assert found.kills["worker"] >= 1
    assert found.kills["all"] >= 2
    # A loaded machine does a tenth of what a quiet one does.
    assert found.reads >= 10
    assert found.operations - found.reads >= 10
