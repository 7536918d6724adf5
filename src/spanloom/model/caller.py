"""For whom the current task works, and until when."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Final

# The project of a call, the key of one that has every project, or the address of one whose key is
# not known yet; "" for the server's own work.
CALLER: Final[ContextVar[str]] = ContextVar("caller", default="")
# When nobody waits for a call any more, by `time.monotonic`; None where that is not known.
DEADLINE: Final[ContextVar[float | None]] = ContextVar("deadline", default=None)
