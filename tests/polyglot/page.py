"""Reads docs/clients.md as its reader does: save this, run that, compare what is printed."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple

from tools import contract

PAGE = contract.ROOT / "docs" / "clients.md"
_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"Save this as `([^`]+)`")


class Block(NamedTuple):
    language: str
    text: str
    # The file to save it as; empty for a block that is run.
    file: str


def sections() -> dict[str, list[Block]]:
    """The blocks under each heading."""
    _, *parts = re.split(r"^## (.*)\n", PAGE.read_text(), flags=re.MULTILINE)
    return {title: _blocks(text) for title, text in zip(parts[::2], parts[1::2], strict=True)}


def _blocks(text: str) -> list[Block]:
    found = list(_BLOCK.finditer(text))
    ends = [0, *(match.end() for match in found)]
    result = []
    for match, (before, _) in zip(found, pairwise([*ends, len(text)]), strict=False):
        saved = _FILE.search(text, before, match.start())
        result.append(Block(match[1], match[2], saved[1] if saved else ""))
    return result
