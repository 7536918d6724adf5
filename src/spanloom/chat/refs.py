"""References to stored objects (weave:///entity/project/object/name:digest) in a message.

Rules: docs/contracts/agent_chat.md, section 2.9.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from spanloom.chat.messages import content_of, media_of
from spanloom.genai.json_text import json_in
from spanloom.genai.media import reference_of
from spanloom.model.genai import GenAiMessage

if TYPE_CHECKING:
    from spanloom.model import Json

_SCHEMES: Final = ("weave:///", "weave-trace-internal:///")
_OPENINGS: Final = (*_SCHEMES, "{", "[")
_MAX_DEPTH: Final = 8


def refs_in(messages: Iterable[GenAiMessage], of_span: Sequence[str] = ()) -> tuple[str, ...]:
    """The references of messages, each once.

    First those of the span that the address of a media part names, then those in the messages.
    """
    named: set[str] = set()
    found: list[str] = []
    for message in messages:
        content = content_of(message)
        if not isinstance(content, str):
            named.update(_digest(part.value) for part in media_of(message) if part.kind == "uri")
            found.extend(_written(content, 1))
        elif content.startswith(_OPENINGS):
            found.extend(_written(content, 0))
    if named:
        found[:0] = (ref for ref in of_span if _digest(ref) in named)
    return tuple(dict.fromkeys(found)) if found else ()


def with_marks(refs: Sequence[str], messages: Iterable[GenAiMessage]) -> tuple[str, ...]:
    """References, and after them a mark of each media part of the messages that none of them is
    of."""
    media = [part for message in messages for part in media_of(message) if part.value]
    if not media:
        return tuple(refs)
    digests = {_digest(ref) for ref in refs}
    marks = (
        reference_of(part)
        for part in media
        if part.kind != "uri" or ("://" in part.value and _digest(part.value) not in digests)
    )
    return tuple(dict.fromkeys((*refs, *marks)))


def _digest(ref: str) -> str:
    return ref.rpartition(":")[2]


def _written(value: Json, depth: int) -> Iterator[str]:
    if depth >= _MAX_DEPTH:
        return
    if isinstance(value, str):
        if value.startswith(_SCHEMES):
            yield value
        elif value.startswith(("{", "[")) and any(scheme in value for scheme in _SCHEMES):
            inner = json_in(value)
            if not isinstance(inner, str):
                yield from _written(inner, depth + 1)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _written(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from _written(item, depth + 1)
