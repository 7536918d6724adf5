"""The operator's file of rules, for all projects."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final

from spanloom.errors import SetupError
from spanloom.redaction.rules import Rules, faults, rules_of

_LISTS: Final = ("presets", "paths", "redactors")
_PATTERN: Final = {"name", "pattern"}


def read_rules(path: str) -> Rules:
    """The rules of a TOML file: the lists `presets`, `paths` and `redactors`, and a table
    `[[pattern]]` for each pattern; none for "".

    Raises:
        SetupError: The file cannot be read, or a rule in it is wrong; the text names it.
    """
    if not path:
        return Rules()
    try:
        document = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SetupError(f"the rules in {path} cannot be read: {error}") from None
    patterns = document.pop("pattern", [])
    if unknown := sorted(document.keys() - {*_LISTS}):
        known = ", ".join((*_LISTS, "pattern"))
        raise SetupError(f"{unknown[0]} in {path} is not known; there are {known}")
    for name, values in document.items():
        if not _is_list(values, str):
            raise SetupError(f"{name} in {path} must be a list of texts")
    if not _is_list(patterns, dict) or any(not _is_pattern(table) for table in patterns):
        raise SetupError(f"the patterns in {path} must be tables [[pattern]] of name and pattern")
    given = [(table["name"], table["pattern"]) for table in patterns]
    rules = rules_of({**document, "patterns": given})
    if wrong := faults(rules):
        where, why = wrong[0]
        raise SetupError(f"{where} in {path} {why}")
    return rules


def _is_list(values: Any, kind: type) -> bool:
    return isinstance(values, list) and all(isinstance(value, kind) for value in values)


def _is_pattern(table: dict[str, Any]) -> bool:
    return table.keys() == _PATTERN and all(isinstance(value, str) for value in table.values())
