"""Prints the part of CHANGELOG.md that belongs to a tag: `python tools/release_notes.py v1.2.3`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

CHANGELOG = Path(__file__).resolve().parent.parent / "CHANGELOG.md"
_TAG = re.compile(r"v(\d+\.\d+\.\d+)")
_SECTION = re.compile(r"^## (\S+)[^\n]*\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)


def notes(tag: str, changelog: str) -> str:
    """The text below `## X.Y.Z ...` for the tag vX.Y.Z.

    Raises:
        ValueError: the tag is not a version, or the changelog has no text for it.
    """
    match = _TAG.fullmatch(tag)
    if match is None:
        raise ValueError(f"{tag} is not a tag of a release, vX.Y.Z")
    sections: dict[str, str] = {
        version: text.strip() for version, text in _SECTION.findall(changelog)
    }
    if not sections.get(match[1]):
        raise ValueError(f"CHANGELOG.md says nothing below '## {match[1]}'")
    return sections[match[1]] + "\n"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(f"usage: {sys.argv[0]} TAG")
    try:
        sys.stdout.write(notes(sys.argv[1], CHANGELOG.read_text()))
    except ValueError as error:
        sys.exit(str(error))
