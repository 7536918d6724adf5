"""The terms of a span, and the terms that a condition needs.

A term is one of

    a word      a run of letters, digits and "_"; ASCII letters in lower case
    two letters of a run of Chinese or Japanese, or the one letter of a run of one
    a mark      "¬" and ten hexadecimal digits: the hash of a JSON path, of a path with its value,
                or of a project
    WIDE, DEEP  a span of which not all words, or not all paths, are indexed: always a candidate

A span has every term that a condition needs which holds for the span.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise
from typing import Any, NamedTuple

import orjson

from spanloom.genai.stored import StoredMessages
from spanloom.model import Json, Span
from spanloom.model.folding import folded
from spanloom.model.span import EVENT_FIELDS
from spanloom.store.sql.index.values import shown_values

MARK = "¬"
WIDE, DEEP = f"{MARK}wide", f"{MARK}deep"
LONGEST_WORD = 64
_MOST_WORDS = 20_000
_MOST_PATHS = 2_000

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_CJK}]+|(?:(?![{_CJK}])\w)+")
_ASCII_WORD = re.compile(r"\w+", re.ASCII)
_IS_CJK = re.compile(f"[{_CJK}]")
_ESCAPE = re.compile(r"((?:\\+u[0-9a-fA-F]{4})+)|\\+[bfnrt\"/]?")
_BEHIND = re.compile(r"\\+(?:[bfnrt]|u[0-9a-f]{4})(\w+)")
_CODE = re.compile(r"u(....)")


class Needle(NamedTuple):
    """What a text needs to occur in another: `terms`, which are all needed; where there are none,
    a word that has `part` in it ("" for a text of which the index knows nothing)."""

    terms: frozenset[str]
    part: str


def said_json(span: Span) -> str:
    """What a span says, as one JSON text."""
    said = [
        *(span.name, span.agent_name, span.status_message, span.error_type),
        *(
            span.provider,
            span.model,
            span.conversation_name,
            span.io,
            span.genai,
            span.trace,
            span.sent.fields,
        ),
    ]
    return orjson.dumps(said, default=_plain, option=orjson.OPT_PASSTHROUGH_DATACLASS).decode()


def holder(text: str) -> Callable[[Span], bool]:
    """Whether a span says a text anywhere, whatever the case of ASCII letters."""
    plain = folded(text)
    escaped = folded(orjson.dumps(text)[1:-1].decode())
    return lambda span: plain in folded(span.name) or escaped in folded(said_json(span))


def span_terms(project: str, span: Span) -> set[str]:
    """All terms of a span."""
    terms = words_of(folded(said_json(span)))
    if len(terms) > _MOST_WORDS:
        terms = {WIDE}
    terms.add(project_mark(project))
    paths = 0
    for head in EVENT_FIELDS:
        for path, value in _nodes(head, shown_values(span, head)):
            terms.add(path_mark(project, path))
            if (mark := value_mark(project, path, value)) is not None:
                terms.add(mark)
            paths += 1
            if paths > _MOST_PATHS:
                terms.add(DEEP)
                return terms
    return terms


def words_of(text: str) -> set[str]:
    """The words of a folded JSON text: of the text as it is, and of what its escapes stand for, for
    a reader may decode a JSON text inside it."""
    found = _words(text)
    if "\\" in text:
        # Of what short escapes stand for only the word behind one is another.
        found |= _words(" ".join(_BEHIND.findall(text)))
    if "\\u" in text:
        found |= _words(folded(_ESCAPE.sub(_decoded, text)))
    return found


def needle(text: str) -> Needle:
    """What the index knows of a text. A word at its edge may be a part of a longer one."""
    text = folded(text)
    terms: set[str] = set()
    part = ""
    for match in _WORD.finditer(text):
        word = match[0]
        is_open = match.start() == 0 or match.end() == len(text)
        if _IS_CJK.match(word) and len(word) > 1:
            terms.update(_pairs(word))
        elif len(word) > LONGEST_WORD:
            continue
        elif not is_open:
            terms.add(word)
        elif len(word) > len(part):
            part = word
    return Needle(frozenset(terms), "" if terms else part)


def project_mark(project: str) -> str:
    return _mark(b"project\0" + project.encode())


@lru_cache(10_000)
def path_mark(project: str, path: str) -> str:
    """That a value other than null stands at a path, which is joined with dots."""
    return _mark(b"\0".join((b"path", project.encode(), path.encode())))


def value_mark(project: str, path: str, value: Json) -> str | None:
    """That a scalar stands at a path; None for an object or array. Numbers are compared as floating
    point ones."""
    if isinstance(value, str):
        kind, shown = b"text", value.replace("\0", "\ufffd").encode(errors="replace")
    elif isinstance(value, bool):
        kind, shown = b"truth", b"true" if value else b"false"
    elif isinstance(value, (int, float)):
        kind, shown = b"number", repr(float(value) + 0.0).encode()
    else:
        return None
    return _mark(b"\0".join((kind, project.encode(), path.encode(), shown)))


def _mark(text: bytes) -> str:
    return MARK + blake2b(text, digest_size=5).hexdigest()


def _nodes(head: str, values: list[Json]) -> Iterator[tuple[str, Json]]:
    """Every path of trees and its value, but null."""
    waiting = [(head, value) for value in values]
    while waiting:
        path, value = waiting.pop()
        if value is None:
            continue
        yield path, value
        if isinstance(value, dict):
            waiting += [
                (f"{path}.{key}".replace("\0", "\ufffd"), inner) for key, inner in value.items()
            ]
        elif isinstance(value, (list, tuple)):
            waiting += [(f"{path}.{place}", inner) for place, inner in enumerate(value)]


def _words(text: str) -> set[str]:
    if text.isascii():
        words = set(_ASCII_WORD.findall(text))
    else:
        words = set(_WORD.findall(text))
        for run in [word for word in words if _IS_CJK.match(word) and len(word) > 1]:
            words.discard(run)
            words.update(_pairs(run))
    if words and len(max(words, key=len)) > LONGEST_WORD:
        words = {word for word in words if len(word) <= LONGEST_WORD}
        words.add(WIDE)
    return words


def _pairs(run: str) -> Iterator[str]:
    return map("".join, pairwise(run))


def _decoded(match: re.Match[str]) -> str:
    """What an escape stands for, whatever the number of backslashes: a text in a text in a text has
    many."""
    if not match[1]:
        return " "
    codes = "".join(chr(int(code, 16)) for code in _CODE.findall(match[1]))
    return codes.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _plain(part: Any) -> Json:
    if isinstance(part, StoredMessages):
        return part.json
    if is_dataclass(part):
        values = {field.name: getattr(part, field.name) for field in fields(part)}
        return {name: value for name, value in values.items() if value not in (None, "", ())}
    if isinstance(part, Mapping):
        return dict(part)
    return list(part) if hasattr(part, "__iter__") else str(part)
