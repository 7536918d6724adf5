"""The built files of the page: read once, and compressed once."""

from __future__ import annotations

import gzip
import mimetypes
from dataclasses import dataclass
from pathlib import Path

# `tools/web.py` writes them; they are not in git.
BUILT = Path(__file__).parent / "static"
_INDEX = "index.html"
# Vite's base in `ui/vite.config.ts`. The page has the depth of the request's path instead.
_BASE = '"./'


@dataclass(frozen=True, slots=True)
class File:
    """One file; `packed` is its gzip."""

    content_type: str
    body: bytes
    packed: bytes


@dataclass(frozen=True, slots=True)
class Files:
    """The page (`index`, HTML) and its files, by their path."""

    index: str
    assets: dict[str, File]

    def page(self, depth: int) -> bytes:
        """The HTML for a path with `depth` slashes after `/ui/`.

        All addresses in it are relative, since a proxy may serve it under another path.
        """
        return self.index.replace(_BASE, '"' + ("../" * depth or "./")).encode()


def is_built() -> bool:
    return (BUILT / _INDEX).is_file()


def read_files(directory: Path = BUILT) -> Files | None:
    """The built files, or None if the page was not built."""
    index = directory / _INDEX
    if not index.is_file():
        return None
    found = (file for file in sorted(directory.rglob("*")) if file.is_file() and file != index)
    assets = {file.relative_to(directory).as_posix(): _file(file) for file in found}
    return Files(index.read_text(encoding="utf-8"), assets)


def _file(path: Path) -> File:
    body = path.read_bytes()
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    if kind.startswith("text/"):
        kind += "; charset=utf-8"
    return File(kind, body, gzip.compress(body, mtime=0))
