"""Long contents in base64 inside an encoded message: where they are, and what they say.

A message is protobuf or JSON, perhaps with JSON inside of its texts; both have base64 as it is.
Only text that base64 makes again, letter by letter, is found. Of a message without such text
32 bytes in 2,048 are looked at.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

# The least content in bytes, and the length of its text.
LEAST_CONTENT: Final = 4096
LEAST_TEXT: Final = (LEAST_CONTENT * 4 + 2) // 3

# Forms of a text: bits that `encoded` takes.
URL_SAFE: Final = 1
UNPADDED: Final = 2
PLAIN: Final = 4  # no base64: the content itself

_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_"
_RUN: Final = re.compile(rb"[A-Za-z0-9+/_-]*={0,2}")
# Every long text has a whole block that begins at a multiple of its length.
_BLOCK: Final = 2048
_GLANCE: Final = 32
# Text with fewer different letters repeats itself or is hexadecimal: zstandard makes it short.
_LEAST_LETTERS: Final = 20
# What ends a text within JSON or within prose.
_ENDS: Final = frozenset(b"\"\\'`)<>,;| \t\r\n")
# The letters of JSON's escapes, and how many follow a backslash.
_ESCAPES: Final = {**dict.fromkeys(b"nrtbf", 1), ord("u"): 5}

_LONGEST_HEAD: Final = 256
_HEAD: Final = re.compile(rb"data:([^,;\"\\]*)(?:;[^,;\"\\]+)*;base64,\Z", re.IGNORECASE)
_SAID: Final = re.compile(
    rb"(?:mime_?type|media_?type|content_type)[^A-Za-z]{1,12}([a-z]+/[\w.+-]+)", re.IGNORECASE
)
_TYPE: Final = re.compile(r"[a-z]+/[a-z0-9][a-z0-9.+-]{0,126}")
UNKNOWN_TYPE: Final = "application/octet-stream"
# How contents of a type begin: what is skipped, and what follows it.
_BEGINNINGS: Final = (
    (0, b"\x89PNG\r\n\x1a\n", "image/png"),
    (0, b"\xff\xd8\xff", "image/jpeg"),
    (0, b"GIF8", "image/gif"),
    (8, b"WEBP", "image/webp"),
    (4, b"ftypavif", "image/avif"),
    (0, b"%PDF-", "application/pdf"),
    (8, b"WAVE", "audio/wav"),
    (0, b"OggS", "audio/ogg"),
    (0, b"fLaC", "audio/flac"),
    (0, b"ID3", "audio/mpeg"),
    (0, b"\xff\xfb", "audio/mpeg"),
    (4, b"ftyp", "video/mp4"),
    (0, b"\x1a\x45\xdf\xa3", "video/webm"),
    (0, b"PK\x03\x04", "application/zip"),
)


class Run(NamedTuple):
    """A text of base64 in a message.

    Attributes:
        start, end: Its place, in bytes.
        form: The bits of its form.
        content: What it says.
        media_type: The type that the message names or the content shows, else UNKNOWN_TYPE.
    """

    start: int
    end: int
    form: int
    content: bytes
    media_type: str


def encoded(content: bytes, form: int) -> bytes:
    """The text of a content in a form."""
    if form & PLAIN:
        return content
    text = base64.urlsafe_b64encode(content) if form & URL_SAFE else base64.b64encode(content)
    return text.rstrip(b"=") if form & UNPADDED else text


def find_runs(message: bytes) -> Iterator[Run]:
    """The long texts of base64 in a message, in their order."""
    done = at = 0
    while at + _BLOCK <= len(message):
        if _is_other(message, at, _GLANCE) or _is_other(message, at, _BLOCK):
            at += _BLOCK
            continue
        before = message[max(done, at - _BLOCK) : at]
        start = at - (len(before) - len(before.rstrip(_ALPHABET)))
        found = _RUN.match(message, at)
        assert found is not None  # noqa: S101 - the block is there
        end = found.end()
        if (run := _run(message, *_bounds(message, start, end))) is not None:
            yield run
        done = end
        at = end + -end % _BLOCK


def find_data(message: bytes, data: Sequence[tuple[str, bytes]]) -> Iterator[Run]:
    """Contents that a message has as they are, in their order."""
    at = 0
    for media_type, content in data:
        if len(content) >= LEAST_CONTENT and (start := message.find(content, at)) >= 0:
            at = start + len(content)
            told = _checked(media_type.encode()) or type_of(content)
            yield Run(start, at, PLAIN, content, told)


def _is_other(message: bytes, at: int, length: int) -> bool:
    return bool(message[at : at + length].translate(None, _ALPHABET))


def _bounds(message: bytes, start: int, end: int) -> tuple[int, int]:
    """Where a text begins and ends whose neighbours may be letters of base64 by chance: a length
    or a tag of protobuf, or the letter of an escape."""
    if message[start - 1 : start] == b"\\":
        start += _ESCAPES.get(message[start], 0)
    head = _head(message, start)
    for first, text in ((head.start(), start),) if head else ((start, start), (start + 1,) * 2):
        if text < (stop := first + _length_before(message, first)) <= end:
            return text, stop
    if end < len(message) and message[end] not in _ENDS and message[end - 1] != ord("="):
        end -= (end - start) % 4
    return start, end


def _head(message: bytes, start: int) -> re.Match[bytes] | None:
    """The head of a data URI whose content begins at `start`."""
    if message[start - 1 : start] != b",":
        return None
    return _HEAD.search(message, max(0, start - _LONGEST_HEAD), start)


def _length_before(message: bytes, at: int) -> int:
    """The number that a varint of several bytes says which ends before a place; 0 for none."""
    number, first = 0, at - 1
    if first < 1 or message[first] >= 0x80:
        return 0
    number = message[first]
    while first > max(0, at - 5) and message[first - 1] >= 0x80:
        first -= 1
        number = number << 7 | message[first] & 0x7F
    return number if first < at - 1 else 0


def _has_letters(text: bytes) -> bool:
    """Whether a text has as many different letters as a content in base64. A set of all of it would
    take 20 ms for a megabyte of one letter."""
    letters: set[int] = set()
    while text and len(letters) < _LEAST_LETTERS:
        letters |= set(text[:LEAST_CONTENT])
        text = text.translate(None, bytes(letters))
    return len(letters) >= _LEAST_LETTERS


def _run(message: bytes, start: int, end: int) -> Run | None:
    """The text there, if base64 makes it again and its content is long."""
    text = message[start:end]
    letters = text.rstrip(b"=")
    if not _has_letters(text):
        return None
    form = URL_SAFE if b"-" in text or b"_" in text else 0
    if form and (b"+" in text or b"/" in text):
        return None
    if len(letters) % 4 and len(letters) == len(text):
        form |= UNPADDED
    try:
        content = base64.b64decode(
            letters + b"=" * (-len(letters) % 4), altchars=b"-_" if form & URL_SAFE else None
        )
    except (binascii.Error, ValueError):
        return None
    # The letters before the last four say three bytes each, and are those that base64 makes.
    last = (len(content) - 1) // 3
    if len(content) < LEAST_CONTENT or encoded(content[last * 3 :], form) != text[last * 4 :]:
        return None
    return Run(start, end, form, content, _media_type(message, start, end, content))


def _media_type(message: bytes, start: int, end: int, content: bytes) -> str:
    if head := _head(message, start):
        return _checked(head[1]) or type_of(content)
    before = list(_SAID.finditer(message, max(0, start - _LONGEST_HEAD), start))
    after = _SAID.search(message, end, end + _LONGEST_HEAD)
    said = before[-1] if before else after
    return (_checked(said[1]) if said else "") or type_of(content)


def _checked(media_type: bytes) -> str:
    """A media type in lower case, "" where it is none."""
    text = media_type.decode("latin-1").lower()
    return text if _TYPE.fullmatch(text) else ""


def type_of(content: bytes) -> str:
    """The media type that the first bytes of a content show."""
    for skipped, beginning, media_type in _BEGINNINGS:
        if content.startswith(beginning, skipped):
            return media_type
    return UNKNOWN_TYPE
