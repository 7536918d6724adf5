"""Sets the clock of a server apart from the machine's: Python imports this module first where its
directory is on PYTHONPATH.

HISTORY_CLOCK_OFFSET is in seconds. Only the wall clock is set apart; time.monotonic is not.
"""

import os
import time

_seconds = float(os.environ.get("HISTORY_CLOCK_OFFSET", "0"))
_time, _time_ns = time.time, time.time_ns


def _shifted() -> float:
    return _time() + _seconds


def _shifted_ns() -> int:
    return _time_ns() + int(_seconds * 1e9)


if _seconds:
    time.time, time.time_ns = _shifted, _shifted_ns
