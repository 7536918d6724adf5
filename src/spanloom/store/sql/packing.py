"""What was sent as `bodies.sent` has it: compressed, and without long contents in base64.

The text of a content is left out where base64 makes it again, letter by letter:

    the zstandard frame of a message                    a message without attachments
    1, their number, a mark each, then the frame        a message without the texts of attachments

A mark is the offset of a text in the message that is left, its length, its form and the SHA-256 of
its content, under which the table `attachments` has the content.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from spanloom.codec.base64_runs import LEAST_CONTENT, Run, encoded, find_data, find_runs
from spanloom.store.sql import compression

# The first byte of a body with attachments. Each frame begins with another one.
_MARKED = 1
_NUMBER = struct.Struct(">BI")
_MARK = struct.Struct(">IIB32s")

# Contents and their media types, by digest.
Contents = dict[bytes, tuple[str, bytes]]


class Packed(NamedTuple):
    """Messages as `bodies.sent` has them, and what was left out of them."""

    sent: list[bytes]
    contents: Contents


class _Mark(NamedTuple):
    offset: int
    length: int
    form: int
    digest: bytes


def packed(
    messages: Sequence[bytes], data: Sequence[Sequence[tuple[str, bytes]]] | None = None
) -> Packed:
    """Messages, none of them empty.

    Args:
        data: `Sent.data` of each.
    """
    short = list(messages)
    contents: Contents = {}
    heads: dict[int, bytes] = {}
    for position, message in enumerate(messages):
        if len(message) >= LEAST_CONTENT:
            runs = list(find_runs(message))
            if data and data[position]:
                runs = _apart([*find_data(message, data[position]), *runs])
            if runs:
                short[position], heads[position] = _without(message, runs, contents)
    sent = compression.compressed(short)
    for position, head in heads.items():
        sent[position] = head + sent[position]
    return Packed(sent, contents)


def _apart(runs: list[Run]) -> list[Run]:
    """Runs in their order, without those that begin inside of another."""
    found: list[Run] = []
    for run in sorted(runs, key=lambda run: run.start):
        if not found or run.start >= found[-1].end:
            found.append(run)
    return found


def _without(message: bytes, runs: Sequence[Run], contents: Contents) -> tuple[bytes, bytes]:
    """A message without its attachments, which are put into `contents`, and the head that tells
    them."""
    parts: list[bytes] = []
    marks: list[bytes] = []
    done = offset = 0
    for run in runs:
        digest = _digest(run.content)
        contents.setdefault(digest, (run.media_type, run.content))
        parts.append(message[done : run.start])
        offset += run.start - done
        done = run.end
        marks.append(_MARK.pack(offset, run.end - run.start, run.form, digest))
    parts.append(message[done:])
    return b"".join(parts), b"".join((_NUMBER.pack(_MARKED, len(marks)), *marks))


def contents_in(text: str) -> Contents:
    """The long contents in base64 in a text that is kept whole."""
    if len(text) < LEAST_CONTENT:
        return {}
    runs = find_runs(text.encode())
    return {_digest(run.content): (run.media_type, run.content) for run in runs}


def unpacked(sent: bytes, contents: Callable[[], Mapping[bytes, bytes]]) -> bytes:
    """The message that was packed.

    Args:
        contents: Those of its attachments by digest, asked for if it has any.

    Raises:
        KeyError: There is no such content.
    """
    if sent[0] != _MARKED:
        return compression.decompressed(sent)
    left = compression.decompressed(_frame(sent))
    of = contents()
    parts: list[bytes] = []
    done = 0
    for mark in _marks(sent):
        parts += left[done : mark.offset], encoded(of[mark.digest], mark.form)
        done = mark.offset
    return b"".join((*parts, left[done:]))


def without_attachments(sent: bytes) -> bytes:
    """The message with an empty text in place of each attachment: of JSON, JSON."""
    return compression.decompressed(_frame(sent))


def has_attachments(sent: bytes) -> bool:
    """Whether a message has any."""
    return sent[0] == _MARKED


def digests(sent: bytes) -> set[bytes]:
    """Those of a message's attachments."""
    return {mark.digest for mark in _marks(sent)} if has_attachments(sent) else set()


def length(sent: bytes | None) -> int:
    """The length of the message, 0 where it is damaged."""
    if not sent or sent[0] != _MARKED:
        return compression.length(sent)
    return compression.length(_frame(sent)) + sum(mark.length for mark in _marks(sent))


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _marks(sent: bytes) -> Iterator[_Mark]:
    _, number = _NUMBER.unpack_from(sent)
    for n in range(number):
        yield _Mark(*_MARK.unpack_from(sent, _NUMBER.size + n * _MARK.size))


def _frame(sent: bytes) -> bytes:
    if sent[0] != _MARKED:
        return sent
    _, number = _NUMBER.unpack_from(sent)
    return sent[_NUMBER.size + number * _MARK.size :]
