"""Credentials in texts that are not JSON, but hold some, or what Python prints of its objects.

Such as a text that was cut, or that has JSON within prose; also URLs and headers in texts. A member
is found by its quoted name with a colon behind it; within texts inside of texts, a quote has
backslashes before it.
"""

from __future__ import annotations

import re
from typing import Final

from spanloom.redaction.credentials import is_credential
from spanloom.redaction.rules import MARK

# A run of backslashes is looked at from its beginning alone: else a long one takes its square.
_MARK: Final = r"""(?<!\\)\\*["']"""
_MEMBER: Final = re.compile(
    rf"""{_MARK}(?P<name>[^"'\\\n]{{1,200}})\\*["']\s{{0,20}}"""
    r"""(?::|(?P<pair>,\s{0,20}\\*["']value\\*["']\s{0,20}:))\s{0,20}"""
)
_NAMED_BY: Final = re.compile(r"""["'](?:key|name)\\{0,63}["']\s{0,20}:\s{0,20}\Z""")
_QUOTE: Final = re.compile(r"""(?<!\\)(?P<slashes>\\*)(?P<quote>["'])""")
_TOKEN: Final = re.compile(rf"""{_MARK}|[\[\]{{}}]""")
# An object under the name of a credential that describes such a value, and has none.
_SCHEMA: Final = re.compile(
    r"""["'](?:type\\*["']\s{0,20}:\s{0,20}\\*["'](?:string|object|array|number|integer|boolean)"""
    r"""\\*["']|(?:\$ref|anyOf|oneOf|allOf)\\*["']\s{0,20}:)"""
)
_PLAIN: Final = re.compile(r"""[^\s,\]}"'\\]*""")
_KEPT: Final = frozenset(("", "true", "false", "null", "True", "False", "None"))
_OPENING: Final = "[{"
# Objects that are kept are read again for the names inside of them: in all so many times the length
# of a text. Any further one is replaced, so that no text takes its square.
_READ_AGAIN: Final = 4


_PARAMETER: Final = re.compile(
    r"""(?<=[?&])(?P<name>[0-9A-Za-z_.-]{1,60})=(?P<value>[^\s&#"'\\<>]+)"""
)
_HEADER: Final = re.compile(
    r"""(?P<head>authorization["'\\]{0,3}\s{0,3}[:=]\s{0,3}["'\\]{0,3}(?:bearer|basic|token)\s{1,3})"""
    r"""[0-9A-Za-z._~+/=-]{6,}""",
    re.IGNORECASE,
)


def redacted(text: str) -> str:
    """The text with a mark in place of each value under the name of a credential."""
    text = _PARAMETER.sub(_parameter, _members_redacted(text))
    return _HEADER.sub(rf"\g<head>{MARK}", text)


def _parameter(found: re.Match[str]) -> str:
    return f"{found['name']}={MARK}" if is_credential(found["name"]) else found[0]


def _members_redacted(text: str) -> str:
    out: list[str] = []
    done = 0
    at = 0
    left = _READ_AGAIN * len(text)
    while found := _MEMBER.search(text, at):
        # The next name may begin with the quote that ends this one.
        at = found.end("name")
        if not is_credential(found["name"]):
            continue
        if found["pair"] and not _NAMED_BY.search(
            text[max(0, found.start() - 120) : found.start()]
        ):
            continue
        start, end, read = _value(text, found.end())
        if left < 0:
            end = read
        left -= read - end
        if end > start and not text.startswith(MARK[:-1], start):
            out += [text[done:start], MARK]
            done = at = end
    return "".join([*out, text[done:]])


def _value(text: str, at: int) -> tuple[int, int, int]:
    """Where the contents of a value are: within its quotes, or the whole of anything else.

    Nothing is to be replaced where both are the same. The third is how far a value was read: behind
    the end of one that is kept because it describes a value.
    """
    opening = _QUOTE.match(text, at)
    if opening:
        end = _end_of_text(text, opening.end(), opening)
        return opening.end(), end, end
    if text[at : at + 1] and text[at] in _OPENING:
        end = _end_of_block(text, at)
        if not text[at + 1 : end - 1].strip():
            return at, at, at
        return at, at if _SCHEMA.search(text, at, end) else end, end
    plain = _PLAIN.match(text, at)
    end = plain.end() if plain else at
    end = at if text[at:end] in _KEPT else end
    return at, end, end


def _end_of_text(text: str, at: int, opening: re.Match[str]) -> int:
    """Where the quote is, or its backslashes, that ends a text."""
    count = len(opening["slashes"])
    unit = count + 1
    for mark in _QUOTE.finditer(text, at):
        slashes = len(mark["slashes"])
        if slashes < count:  # of a text around it: this one was cut
            return mark.start()
        if mark["quote"] == opening["quote"] and (slashes - count) // unit % 2 == 0:
            return mark.end() - 1 - count
    return len(text)


def _end_of_block(text: str, at: int) -> int:
    """Behind the bracket that ends a list or an object."""
    depth = 0
    position = at
    while mark := _TOKEN.search(text, position):
        position = mark.end()
        if mark[0] in ("[", "{"):
            depth += 1
        elif mark[0] in ("]", "}"):
            depth -= 1
            if not depth:
                return position
        else:
            opening = _QUOTE.match(text, mark.start())
            assert opening is not None  # noqa: S101 - both patterns have the same quotes
            end = _end_of_text(text, position, opening)
            position = min(len(text), end + len(opening[0]))
    return len(text)
