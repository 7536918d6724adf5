"""Whole spans of what a store keeps: the adapter that read a message reads all of it."""

from __future__ import annotations

from operator import attrgetter

from spanloom.adapters.honeyhive import read as honeyhive
from spanloom.adapters.native import read as native
from spanloom.adapters.otlp import read as otlp
from spanloom.adapters.recorded import NATIVE
from spanloom.model import Span

_NAMES = (
    *("event_id", "session_id", "parent_id", "name", "kind", "operation", "start_ns", "end_ns"),
    *("duration_ms", "status", "agent_name", "provider", "model"),
    *("input_tokens", "output_tokens", "cost"),
)
_values = attrgetter(*_NAMES)


def restore(adapter: str, message: bytes, envelope: bytes, columns: Span) -> Span:
    """The span that an adapter reads from a message that it once read the columns of. The columns
    are those that were stored; what is not a column is read anew.

    Raises:
        KeyError: no adapter of this version has this name.
    """
    span = _READERS[adapter](message, envelope, columns)
    for name, value in zip(_NAMES, _values(columns), strict=True):
        setattr(span, name, value)
    return span


_READERS = {
    otlp.ADAPTER: otlp.restore,
    honeyhive.ADAPTER: honeyhive.restore,
    NATIVE: native.restore,
}
