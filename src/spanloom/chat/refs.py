"""References to stored objects (weave:///entity/project/object/name:digest) that a message mentions.

Rules: docs/contracts/agent_chat.md, section 2.9.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from spanloom.chat.json_text import parsed
from spanloom.chat.messages import Message, media_of

if TYPE_CHECKING:
    from spanloom.model import Json

_SCHEMES = ("weave:///", "weave-trace-internal:///")
_OPENINGS = (*_SCHEMES, "{", "[")
_MAX_DEPTH = 8


def refs_in(messages: Iterable[Message], of_span: Sequence[str] = ()) -> tuple[str, ...]:
    """Those of the span's references that a media part's `uri` names, then those written in the messages; each once."""
    named: set[str] = set()
    found: list[str] = []
    for message in messages:
        content = message.content
        if not isinstance(content, str):
            uris = (part.get("uri") for part in media_of(message))
            named.update(_digest(uri) for uri in uris if isinstance(uri, str))
            found.extend(_written(content, 1))
        elif content.startswith(_OPENINGS):
            found.extend(_written(content, 0))
    if named:
        found[:0] = (ref for ref in of_span if _digest(ref) in named)
    return tuple(dict.fromkeys(found)) if found else ()


def _digest(ref: str) -> str:
    return ref.rpartition(":")[2]


def _written(value: Json, depth: int) -> Iterator[str]:
    if depth >= _MAX_DEPTH:
        return
    if isinstance(value, str):
        if value.startswith(_SCHEMES):
            yield value
        elif value.startswith(("{", "[")) and any(scheme in value for scheme in _SCHEMES):
            inner = parsed(value)
            if not isinstance(inner, str):
                yield from _written(inner, depth + 1)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _written(item, depth + 1)
    elif isinstance(value, list):
        for item in value:
            yield from _written(item, depth + 1)
