"""All kinds of evaluators: the built-in ones, the judges, and those that plug-ins add.

A plug-in is an entry point of the group `spanloom.evaluators`: its name is the kind, its value a
`Kind`.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from typing import Any

import orjson

from spanloom.evaluation import checks, judge
from spanloom.evaluation.subject import Result, Subject
from spanloom.model import Json

log = logging.getLogger("spanloom.evaluators")

Settings = Mapping[str, Json]
GROUP = "spanloom.evaluators"


class SettingError(ValueError):
    """A setting that cannot be used: its name ("" for all of them) and what is wrong."""

    def __init__(self, name: str, problem: str) -> None:
        super().__init__(f"{name}: {problem}")
        self.name = name
        self.problem = problem


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a kind: its JSON type, whether it is required, and a check that raises
    ValueError with what is wrong."""

    type: type | tuple[type, ...]
    required: bool = False
    check: Callable[[Any], object] | None = None


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of evaluators. `evaluate` receives checked settings; it may be a coroutine
    function."""

    evaluate: Callable[[Subject, Settings], Result | Awaitable[Result]]
    settings: Mapping[str, Setting] = field(default_factory=dict)


_NUMBER = (int, float)
_NAMES: Mapping[Any, str] = {
    str: "a text",
    bool: "true or false",
    _NUMBER: "a number",
    dict: "an object",
    list: "a list",
}


def _not_negative(value: float) -> None:
    if value < 0:
        raise ValueError("must not be negative")


def _texts(value: list[Json]) -> None:
    if not value or not all(isinstance(item, str) and item for item in value):
        raise ValueError("must contain at least one string")


_CASE = {"ignore_case": Setting(bool)}
_LIMIT = Setting(_NUMBER, check=_not_negative)
_MODEL = {"model": Setting(str)}

BUILT_IN: Mapping[str, Kind] = {
    "exact_match": Kind(checks.exact_match, _CASE),
    "edit_similarity": Kind(checks.edit_similarity, _CASE),
    "json_valid": Kind(checks.json_valid),
    "json_schema": Kind(checks.json_schema, {"schema": Setting(dict, True, checks.check_schema)}),
    "regex": Kind(checks.regex, {"pattern": Setting(str, True, checks.check_pattern), **_CASE}),
    "contains": Kind(
        checks.contains, {"texts": Setting(list, True, _texts), "any": Setting(bool), **_CASE}
    ),
    "latency": Kind(checks.latency, {"max_ms": Setting(_NUMBER, True, _not_negative)}),
    "cost": Kind(checks.cost, {"max": Setting(_NUMBER, True, _not_negative)}),
    "length": Kind(checks.length, {"min": _LIMIT, "max": _LIMIT}),
    "refusal": Kind(checks.refusal, {"texts": Setting(list, False, _texts)}),
    "hallucination": Kind(judge.hallucination, _MODEL),
    "relevance": Kind(judge.relevance, _MODEL),
    "faithfulness": Kind(judge.faithfulness, _MODEL),
    "prompt": Kind(
        judge.custom_prompt, {"prompt": Setting(str, True, judge.check_prompt), **_MODEL}
    ),
}


@cache
def kinds() -> Mapping[str, Kind]:
    """All kinds by name. A plug-in that cannot be loaded, or has the name of a built-in kind, is
    left out and logged."""
    found = dict(BUILT_IN)
    for point in entry_points(group=GROUP):
        try:
            kind = point.load()
        except Exception:  # a plug-in may raise anything
            log.exception("the evaluator %s cannot be loaded", point.name)
            continue
        if isinstance(kind, Kind) and point.name not in BUILT_IN:
            found[point.name] = kind
        else:
            log.error(
                "the plug-in %s is ignored: it is not a Kind, or another kind has its name",
                point.name,
            )
    return found


def checked_settings(kind: Kind, settings: Settings) -> dict[str, Json]:
    """The settings, if they are valid for the kind; a null counts as absent. SettingError names the
    first invalid one."""
    given = {name: value for name, value in settings.items() if value is not None}
    for name in given:
        if name not in kind.settings:
            known = ", ".join(kind.settings) or "none"
            raise SettingError(name, f"is not a setting of this kind (known settings: {known})")
    for name, setting in kind.settings.items():
        if name not in given:
            if setting.required:
                raise SettingError(name, "is required")
            continue
        value = given[name]
        is_bool = isinstance(value, bool)
        if not isinstance(value, setting.type) or (is_bool and setting.type is not bool):
            raise SettingError(name, f"must be {_NAMES.get(setting.type, 'of another type')}")
        try:
            if setting.check:
                setting.check(value)
        except ValueError as error:
            raise SettingError(name, str(error)) from None
    return given


def version(kind: str, settings: Settings) -> str:
    """The version of an evaluator: 12 hex digits of a digest of its kind and its settings."""
    content = orjson.dumps([kind, dict(settings)], option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(content).hexdigest()[:12]
