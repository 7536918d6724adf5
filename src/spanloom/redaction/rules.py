"""What is redacted in a project: names of credentials, patterns, paths, and functions of others."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.metadata import entry_points
from typing import Any, Final

import re2

from spanloom.redaction.paths import Step, parsed, reaches
from spanloom.redaction.presets import PRESETS, Check

# Functions that take a text and the name of its project, and give the text back redacted.
GROUP: Final = "spanloom.redactors"
Redactor = Callable[[str, str], str]

MARK: Final = "[REDACTED]"
_MARKS: Final = re.compile(r"(\[REDACTED(?::[a-z0-9_-]{1,32})?\])")
_NAME: Final = re.compile(r"[a-z0-9_-]{1,32}")
# Bounds of each list, and of a pattern or a path in characters.
MOST: Final = 50
LONGEST: Final = 1000
_PROGRAM_BYTES: Final = 1 << 20
# Letters that a match which must be alone does not touch.
_TOUCHING: Final = re.compile(r"[0-9A-Za-z+/=_-]")


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of a project, as they are written.

    Args:
        presets: Names of PRESETS.
        patterns: A name and a pattern of RE2 each.
        paths: As `paths.parsed` reads them.
        redactors: Names of entry points of the group `spanloom.redactors`.
    """

    presets: tuple[str, ...] = ()
    patterns: tuple[tuple[str, str], ...] = ()
    paths: tuple[str, ...] = ()
    redactors: tuple[str, ...] = ()

    def __add__(self, other: Rules) -> Rules:
        return Rules(
            *(
                tuple(dict.fromkeys((*getattr(self, name), *getattr(other, name))))
                for name in Rules.__slots__
            )
        )


def rules_of(document: Mapping[str, Any]) -> Rules:
    """The rules of which `document_of` made a document."""
    return Rules(
        tuple(document.get("presets", ())),
        tuple((name, pattern) for name, pattern in document.get("patterns", ())),
        tuple(document.get("paths", ())),
        tuple(document.get("redactors", ())),
    )


def document_of(rules: Rules) -> dict[str, Any]:
    """The rules as values of JSON."""
    return {
        "presets": [*rules.presets],
        "patterns": [[*each] for each in rules.patterns],
        "paths": [*rules.paths],
        "redactors": [*rules.redactors],
    }


def faults(rules: Rules) -> list[tuple[str, str]]:
    """The path of each rule that cannot be used, and why."""
    found: list[tuple[str, str]] = []
    for name in Rules.__slots__:
        if len(getattr(rules, name)) > MOST:
            return [(name, f"must have at most {MOST} elements")]

    def check(of: str, values: Sequence[Any], why: Callable[[Any], str]) -> None:
        found.extend((f"{of}[{at}]", text) for at, each in enumerate(values) if (text := why(each)))

    known = sorted(PRESETS)
    check("presets", rules.presets, lambda p: "" if p in PRESETS else f"is none of {_list(known)}")
    check("patterns", rules.patterns, lambda pattern: _fault_of_pattern(*pattern))
    check("paths", rules.paths, _fault_of_path)
    installed = sorted(each.name for each in entry_points(group=GROUP))
    check(
        *("redactors", rules.redactors),
        lambda name: "" if name in installed else f"is not installed; there are {_list(installed)}",
    )
    return found


def _list(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def _fault_of_pattern(name: str, pattern: str) -> str:
    if not _NAME.fullmatch(name):
        return "needs a name of 1 to 32 letters a to z, digits, `-` and `_`"
    if not 0 < len(pattern) <= LONGEST:
        return f"must have 1 to {LONGEST} characters"
    try:
        if _compiled(pattern).search("") is not None:
            return "matches the empty text"
    except (re2.error, UnicodeEncodeError) as error:
        return f"is no pattern of RE2: {_said(error)}"
    return ""


def _said(error: Exception) -> str:
    said = error.args[0] if error.args else ""
    return said.decode(errors="replace") if isinstance(said, bytes) else str(said)


def _fault_of_path(path: str) -> str:
    if len(path) > LONGEST:
        return f"must have at most {LONGEST} characters"
    try:
        parsed(path)
    except ValueError as error:
        return str(error)
    return ""


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> Any:
    options = re2.Options()
    options.max_mem = _PROGRAM_BYTES
    options.log_errors = False
    return re2.compile(pattern, options)


@dataclass(frozen=True, slots=True)
class _Pattern:
    """A pattern that replaces what it matches by its mark."""

    mark: str
    compiled: Any
    check: Check | None = None
    alone: bool = False

    def replaced(self, text: str) -> str:
        return self.compiled.sub(self._put, text)  # type: ignore[no-any-return]

    def _put(self, match: Any) -> str:
        found: str = match.group()
        start, end = (0, len(found))
        if self.check:
            span = self.check(found)
            if span is None:
                return found
            start, end = span
        if self.alone:
            at, text = match.start(), match.string
            before = found[start - 1] if start else text[at - 1 : at] if at else ""
            after = found[end : end + 1] or text[match.end() : match.end() + 1]
            if _TOUCHING.match(before) or _TOUCHING.match(after):
                return found
        return f"{found[:start]}{self.mark}{found[end:]}"


@dataclass(frozen=True, slots=True)
class Compiled:
    """Rules in use.

    Args:
        credentials: Whether values under the names of credentials are redacted.
    """

    project: str = ""
    credentials: bool = True
    patterns: tuple[_Pattern, ...] = ()
    paths: tuple[tuple[Step, ...], ...] = ()
    redactors: tuple[tuple[str, Redactor], ...] = field(default=(), repr=False)

    @property
    def has_rules(self) -> bool:
        """Whether there is more than credentials."""
        return bool(self.patterns or self.paths or self.redactors)

    def is_path(self, trail: Sequence[str]) -> bool:
        """Whether a path names a value."""
        return any(reaches(path, trail) for path in self.paths)

    def replaced(self, text: str) -> str:
        """A text without what the patterns and functions find. Marks in it are left as they are."""
        if not (self.patterns or self.redactors):
            return text
        parts = _MARKS.split(text)
        return "".join(
            part if at % 2 or not part else self._replaced(part) for at, part in enumerate(parts)
        )

    def _replaced(self, text: str) -> str:
        text = _encodable(text)
        for pattern in self.patterns:
            # What an earlier pattern has marked is not looked at again.
            parts = _MARKS.split(text)
            parts[::2] = [part and pattern.replaced(part) for part in parts[::2]]
            text = "".join(parts)
        for name, redactor in self.redactors:
            text = redactor(text, self.project)
            if not isinstance(text, str):
                raise TypeError(f"the redactor {name} gave no text")
        return _encodable(text)


def _encodable(text: str) -> str:
    """The text with U+FFFD for each lone surrogate, which UTF-8 does not have."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def compile_rules(rules: Rules, *, project: str = "", credentials: bool = True) -> Compiled:
    """Make rules ready to use.

    Raises:
        Exception: A function of others is not installed or cannot be loaded.
    """
    presets = [(name, PRESETS[name]) for name in rules.presets]
    installed = {each.name: each for each in entry_points(group=GROUP)} if rules.redactors else {}
    return Compiled(
        project,
        credentials,
        (
            *(
                _Pattern(_mark(name), _compiled(each.pattern), each.check, each.alone)
                for name, each in presets
            ),
            *(_Pattern(_mark(name), _compiled(pattern)) for name, pattern in rules.patterns),
        ),
        tuple(parsed(path) for path in rules.paths),
        tuple((name, installed[name].load()) for name in rules.redactors),
    )


def _mark(name: str) -> str:
    return f"[REDACTED:{name}]"
