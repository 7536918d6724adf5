"""The terms of a span, and the terms that a condition needs.

A term is one of

    a word      a run of letters, digits and "_"; ASCII letters in lower case
    two letters of a run of Chinese or Japanese, or the one letter of a run of one
    a mark      "¬" and a number in hexadecimal digits: the checksum of a JSON path, of a path with
                its value, or of a project
    WIDE, DEEP  a span of which not all words, or not all paths, are indexed: always a candidate

A span has every term that a condition needs which holds for the span. The opposite is not so: the
checksums have 32 bits, all places of a list have one path, and a word says nothing of its place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from functools import lru_cache
from itertools import pairwise
from operator import attrgetter
from typing import Final, NamedTuple
from zlib import crc32

import orjson

from spanloom.model import Json, Span
from spanloom.model.folding import folded
from spanloom.model.span import EVENT_FIELDS, EVENT_VALUES
from spanloom.store.sql.bodies import objects_of
from spanloom.store.sql.index.values import SHOWN_HEADS, shown_values

MARK: Final = "¬"
WIDE, DEEP = f"{MARK}0", f"{MARK}1"
# In bytes.
LONGEST_WORD: Final = 64
_MOST_WORDS: Final = 20_000
_MOST_PATHS: Final = 2_000
_SHORT: Final = 30
# A longer text is found by its path and its words.
_LONGEST_VALUE: Final = 200

_CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff"
_IS_CJK = re.compile(f"[{_CJK}]")
_WORD = re.compile(rf"[{_CJK}]+|(?:(?![{_CJK}])\w)+")
_FOREIGN = re.compile(r"[^\x00-\x7f]+")
_CJK_OR_NO_LETTER = re.compile(rf"([{_CJK}]+)|\W+")
_BEHIND = re.compile(r"\\+(?:[bfnrt]|u[0-9a-fA-F]{4})(\w+)")
_ESCAPE = re.compile(r"((?:\\+u[0-9a-fA-F]{4})+)|\\+[bfnrt\"/]?")
_ESCAPED = re.compile(r"\w*\\[\\\w]*")
_CODE = re.compile(r"u(....)")
# As FTS5's tokenizer `ascii` sees a text: ASCII that is in no word, and ASCII letters.
_BYTES: Final = bytes(
    (byte if byte >= 128 or chr(byte).isalnum() or byte == ord("_") else ord(" "))
    for byte in range(256)
).lower()
_SINGLES = attrgetter(
    *("name", "agent_name", "provider", "model", "status_message", "error_type", "log_type"),
    *("instrumentation", "conversation_name"),
)


class Needle(NamedTuple):
    """What a text needs to occur in another: `terms`, which are all needed; where there are none,
    a word that has `part` in it ("" for a text of which the index knows nothing)."""

    terms: frozenset[str]
    part: str


class Terms(NamedTuple):
    """The terms of a span: its words in UTF-8, and the numbers of its marks."""

    words: set[bytes]
    marks: set[int]


def said(span: Span) -> set[str]:
    """The texts that a span holds: its strings, the keys of objects, and of what may be spoken what
    numbers and truths are in JSON."""
    texts = set(_SINGLES(span))
    for head in EVENT_FIELDS:
        if (sent := getattr(span.io, head)) is not None:
            _add_texts(texts, sent, head in EVENT_VALUES)
    _add_parts(texts, span)
    return texts


def holder(text: str) -> Callable[[Span], bool]:
    """Whether a span says a text anywhere, whatever the case of ASCII letters."""
    plain = folded(text)
    return lambda span: any(plain in folded(one) for one in said(span))


def span_terms(project: str, span: Span) -> Terms:
    """All terms of a span."""
    texts = set(_SINGLES(span))
    marks = {_number(project_mark(project))}
    for head in EVENT_FIELDS:
        sent, is_spoken = getattr(span.io, head), head in EVENT_VALUES
        if sent is None and head not in SHOWN_HEADS:  # most of them
            continue
        for value in shown_values(span, head):
            if value is not None:
                _add_shown(texts, marks, value, _path_sum(project, head), is_spoken)
            if value is not sent and sent is not None:
                _add_texts(texts, sent, is_spoken)
    if len(marks) > _MOST_PATHS:
        marks = {_number(project_mark(project)), _number(DEEP)}
    _add_parts(texts, span)
    words = words_of(texts)
    kept = words
    if words and max(map(len, words)) > LONGEST_WORD:
        kept = {word for word in words if len(word) <= LONGEST_WORD}
    if len(kept) > _MOST_WORDS:
        kept = set()
    if kept is not words:
        marks.add(_number(WIDE))
    return Terms(kept, marks)


def nothing_known(project: str) -> Terms:
    """The terms of a span that cannot be read: it is a candidate for all that is asked of its
    project."""
    return Terms(set(), {_number(mark) for mark in (project_mark(project), WIDE, DEEP)})


def words_of(texts: Collection[str]) -> set[bytes]:
    """The words of texts: of each as it is, and of what its escapes are, for a reader may decode a
    JSON text inside it."""
    long = [text for text in texts if len(text) > _SHORT]
    documents = "\n".join([text for text in long if text[0] in "[{"])
    if documents:
        # Most texts of a span are in one of its JSON documents as they are.
        texts = set(texts)
        texts.difference_update(
            [text for text in long if text[0] in "[{" or f'"{text}"' in documents]
        )
    text = "\n".join([documents, *texts])
    if "\\" in text:
        # Of what short escapes are only the word behind one is another.
        more = [text, *_BEHIND.findall(text)]
        if "\\u" in text:
            more.append(_ESCAPE.sub(_decoded, text))
        text = "\n".join(more)
    if not text.isascii():
        text = _FOREIGN.sub(_in_words, text)
    return set(text.encode(errors="replace").translate(_BYTES).split())


def without_escapes(text: str) -> str:
    """A text with NUL in place of backslashes and the words beside them: a text that is JSON may be
    looked for in what it was made of."""
    return _ESCAPED.sub("\0", text) if "\\" in text else text


def needle(text: str) -> Needle:
    """What the index knows of a text. A word at its edge may be a part of a longer one."""
    text = folded(without_escapes(text))
    terms: set[str] = set()
    part = ""
    for match in _WORD.finditer(text):
        word = match[0]
        is_open = match.start() == 0 or match.end() == len(text)
        if _IS_CJK.match(word) and len(word) > 1:
            terms.update(_pairs(word))
        elif len(word.encode(errors="replace")) > LONGEST_WORD:
            continue
        elif not is_open:
            terms.add(word)
        elif len(word) > len(part):
            part = word
    return Needle(frozenset(terms), "" if terms else part)


@lru_cache(1_000)
def project_mark(project: str) -> str:
    return _mark(crc32(b"project\0" + project.encode()))


def path_mark(project: str, path: str) -> str:
    """That a value other than null is at a path, which is joined with dots."""
    return _mark(_path_sum(project, path))


def value_mark(project: str, path: str, value: Json) -> str | None:
    """That a scalar is at a path; None for what has no such mark. Numbers are compared as floating
    point ones."""
    if isinstance(value, str):
        return (
            None
            if len(value) > _LONGEST_VALUE
            else _mark(_text_sum(value, _path_sum(project, path)))
        )
    if isinstance(value, bool):
        return _mark(crc32(_TRUTHS[value], _path_sum(project, path)))
    if isinstance(value, (int, float)):
        return _mark(_number_sum(value, _path_sum(project, path)))
    return None


_TRUTHS: Final = (b"\0no", b"\0yes")
_SPELLED: Final = ("false", "true")


def _mark(number: int) -> str:
    return f"{MARK}{number:x}"


def _number(mark: str) -> int:
    return int(mark[len(MARK) :], 16)


@lru_cache(20_000)
def _path_sum(project: str, path: str) -> int:
    head, *steps = path.split(".")
    found = crc32(f"path\0{project}\0{head}".encode())
    for step in steps:
        found = _step_sum(step, found)
    return found


@lru_cache(50_000)
def _step_sum(key: str, before: int) -> int:
    # A key may have dots: then it is as many steps, as in a filter's field.
    for step in key.replace("\0", "\ufffd").split("."):
        before = crc32(f".{_ANY if _PLACE.fullmatch(step) else step}".encode(), before)
    return before


# Apart what is of one spelling and of several types.
_TEXT: Final = 0x5354_5354
_NUMBER: Final = 0x4E4D_4E4D
# All places of a list are one step.
_ANY: Final = "*"
_PLACE: Final = re.compile("[0-9]+")


def _text_sum(value: str, path: int) -> int:
    if "\0" in value:
        value = value.replace("\0", "\ufffd")
    return crc32(value.encode(errors="replace"), path ^ _TEXT)


def _number_sum(value: float, path: int) -> int:
    return crc32(repr(float(value) + 0.0).encode(), path ^ _NUMBER)


def _add_shown(texts: set[str], marks: set[int], value: Json, path: int, is_spoken: bool) -> None:
    """Add the texts of a value other than null, and the marks of all paths in it."""
    waiting = [(value, path)]
    while waiting:
        if len(marks) > _MOST_PATHS:
            _add_texts(texts, [inner for inner, _ in waiting], is_spoken)
            return
        value, path = waiting.pop()
        marks.add(path)
        kind = type(value)
        if kind is str:
            texts.add(value)
            if len(value) <= _LONGEST_VALUE:
                marks.add(_text_sum(value, path))
        elif isinstance(value, dict):
            texts.update(value)
            for key, inner in value.items():
                if inner is not None:
                    waiting.append((inner, _step_sum(key, path)))
                elif is_spoken:
                    texts.add("null")
        elif kind is bool:
            marks.add(crc32(_TRUTHS[value], path))
            if is_spoken:
                texts.add(_SPELLED[value])
        elif kind is int or kind is float:
            marks.add(_number_sum(value, path))
            if is_spoken:
                _add_number(texts, value)
        elif value:  # a list that is not empty
            place = _step_sum(_ANY, path)
            waiting += [(inner, place) for inner in value if inner is not None]
            if is_spoken and None in value:
                texts.add("null")


def _add_texts(texts: set[str], value: Json, is_spoken: bool) -> None:
    waiting = [value]
    while waiting:
        value = waiting.pop()
        kind = type(value)
        if kind is str:
            texts.add(value)
        elif isinstance(value, dict):
            texts.update(value)
            waiting += value.values()
        elif isinstance(value, (list, tuple)):
            waiting += value
        elif not is_spoken:
            continue
        elif value is None:
            texts.add("null")
        elif kind is bool:
            texts.add(_SPELLED[value])
        else:
            _add_number(texts, value)


def _add_number(texts: set[str], value: float) -> None:
    spelled = repr(value)
    texts.add(spelled)
    if "e" in spelled:  # which writers of JSON spell differently
        texts.add(orjson.dumps(value).decode())


def _add_parts(texts: set[str], span: Span) -> None:
    """Add the texts of what is no field of an event."""
    if (ideal := span.io.ideal_output) is not None:
        _add_texts(texts, ideal, True)
    _add_texts(texts, span.sent.fields, False)
    for part in objects_of(span).values():
        # The keys are words of this program.
        _add_texts(texts, [value for name, value in part.items() if name != _FIGURES], True)


# Numbers of tokens and costs, which are in columns and in what was sent.
_FIGURES: Final = "usage"


@lru_cache(10_000)
def _foreign_words(run: str) -> str:
    return _CJK_OR_NO_LETTER.sub(_parted, run)


def _in_words(match: re.Match[str]) -> str:
    """Letters outside ASCII as FTS5 has to see them: pairs of Chinese or Japanese as words, and
    nothing in a word that is no letter."""
    run = match[0]
    return _foreign_words(run) if len(run) < LONGEST_WORD else _CJK_OR_NO_LETTER.sub(_parted, run)


def _parted(match: re.Match[str]) -> str:
    run = match[1]
    if not run:
        return " "
    return f" {' '.join(_pairs(run)) if len(run) > 1 else run} "


def _pairs(run: str) -> Iterator[str]:
    return map("".join, pairwise(run))


def _decoded(match: re.Match[str]) -> str:
    """What an escape stands for, whatever the number of backslashes: a text in a text in a text has
    many."""
    if not match[1]:
        return " "
    codes = "".join(chr(int(code, 16)) for code in _CODE.findall(match[1]))
    return codes.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
