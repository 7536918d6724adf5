"""Ids of traces in the spellings in which people and programs copy them."""

from __future__ import annotations

from spanloom.model import dashed
from spanloom.model.checks import possible_id
from spanloom.store.spans import SpanStore

_HEX = frozenset("0123456789abcdef")
_DIGITS = 32


async def stored_trace_id(store: SpanStore, project: str, trace_id: str) -> str:
    """The id under which the project has a trace: as it is, else, of 32 hexadecimal digits in
    capitals or in the form of a UUID, in the other spellings; as it is where there is none.

    Ids are compared by bytes everywhere else: an id that is stored as it was asked for always wins.
    """
    others = other_spellings(trace_id)
    if not others or not possible_id(trace_id):
        return trace_id
    found = await store.summaries.existing(project, [trace_id, *others])
    return next((each for each in (trace_id, *others) if each in found), trace_id)


def other_spellings(trace_id: str) -> list[str]:
    """The id in small letters, without and with dashes, where it is another text."""
    small = trace_id.lower()
    digits = small.replace("-", "")
    # The usual spelling costs no look at the store.
    if trace_id == digits or len(digits) != _DIGITS or not _HEX.issuperset(digits):
        return []
    spellings = (digits, dashed(digits))
    return [each for each in spellings if each != trace_id] if small in spellings else []
