"""`spanloom` with a fault: the writer that has events to write and finds the file `$DYING_WRITER`
removes it, and dies."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from spanloom.cli import main
from spanloom.store.sql.writer import Writer
from tests.processes import EVENTS

_commit = Writer._commit


def commit(self: Writer, group: Sequence[Any]) -> list[Any]:
    if sum(call.rows for call in group) < EVENTS:  # no batch of a test
        return _commit(self, group)
    try:
        Path(os.environ["DYING_WRITER"]).unlink()
    except FileNotFoundError:
        return _commit(self, group)
    raise MemoryError("a fault that nobody expected")


if __name__ == "__main__":
    Writer._commit = commit  # type: ignore[method-assign]
    main()
