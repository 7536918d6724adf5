"""Whole spans of what a store keeps: the adapter that read a message reads all of it."""

from __future__ import annotations

from spanloom.adapters.honeyhive import read as honeyhive
from spanloom.adapters.native import read as native
from spanloom.adapters.otlp import read as otlp
from spanloom.model import Span
from spanloom.model.span import NATIVE


def restore(adapter: str, message: bytes, envelope: bytes, columns: Span) -> Span:
    """The span that an adapter reads from a message whose columns it read when it was stored.

    Args:
        columns: The stored columns. The object becomes the whole span; its columns stay as they
            are, and the rest is derived from the message.

    Raises:
        KeyError: No adapter of this version has this name.
    """
    return _READERS[adapter](message, envelope, columns)


def reread(adapter: str, message: bytes, envelope: bytes, columns: Span) -> Span:
    """As `restore`, but every column that the message tells is derived from it as well, in a new
    object. Its ids, and a start that the message does not tell, are those of `columns`.

    Raises:
        KeyError: No adapter of this version has this name.
    """
    return _REREADERS[adapter](message, envelope, columns)


_READERS = {
    otlp.ADAPTER: otlp.restore,
    honeyhive.ADAPTER: honeyhive.restore,
    NATIVE: native.restore,
}
_REREADERS = {
    otlp.ADAPTER: otlp.reread,
    honeyhive.ADAPTER: honeyhive.reread,
    NATIVE: native.reread,
}
