"""The evaluators that need nothing but the subject."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import jsonschema
import referencing

from spanloom.evaluators.subject import (
    Result,
    Subject,
    json_of,
    not_applicable,
    passed,
    text_of,
)
from spanloom.model import Json

Settings = Mapping[str, Json]

NO_IDEAL = "there is no ideal output to compare with"
# Comparing takes time by the product of both lengths, matching in the worst case more: what lies behind is not looked at.
_LONGEST_COMPARED = 2_000
_LONGEST_MATCHED = 100_000
# How models begin to decline, in English; settings may name others.
_REFUSALS = (
    "i can't help",
    "i cannot help",
    "i can't assist",
    "i cannot assist",
    "i can't provide",
    "i cannot provide",
    "i'm not able to",
    "i am not able to",
    "i'm unable to",
    "i am unable to",
    "i won't be able to",
    "i must decline",
    "i'm sorry, but i can",
    "i apologize, but i can",
    "as an ai",
)


def exact_match(subject: Subject, settings: Settings) -> Result:
    """Whether output and ideal output are the same JSON, or the same text but for white space around it."""
    if subject.ideal_output is None:
        return not_applicable(NO_IDEAL)
    output, ideal = _texts(subject, settings)
    return passed(output == ideal or _same_json(subject.output, subject.ideal_output))


def edit_similarity(subject: Subject, settings: Settings) -> Result:
    """1 - the Levenshtein distance of output and ideal output in characters, as a share of the longer one's length."""
    if subject.ideal_output is None:
        return not_applicable(NO_IDEAL)
    output, ideal = (text[:_LONGEST_COMPARED] for text in _texts(subject, settings))
    longest = max(len(output), len(ideal))
    distance = edit_distance(output, ideal)
    return Result(1 - distance / longest if longest else 1.0, None, f"{distance} edits")


def edit_distance(a: str, b: str) -> int:
    """How many characters must be put in, taken out or changed to make one text of the other."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(before + (x != y), row[j] + 1, row[j - 1] + 1)
    return row[-1]


def json_valid(subject: Subject, settings: Settings) -> Result:
    """Whether the output is JSON, or a text that is."""
    if subject.output is None:
        return passed(False, "there is no output")
    try:
        json_of(subject.output)
    except ValueError as error:
        return passed(False, f"not JSON: {error}")
    return passed(True)


def check_schema(schema: dict[str, Any]) -> None:
    """ValueError when this is no JSON schema."""
    try:
        jsonschema.validators.validator_for(schema).check_schema(schema)
    except jsonschema.SchemaError as error:
        raise ValueError(f"is not a JSON schema: {error.message}") from None


def json_schema(subject: Subject, settings: Settings) -> Result:
    """Whether the output is JSON (or a text that is) as a schema wants it."""
    try:
        value = json_of(subject.output)
    except ValueError:
        return passed(False, "not JSON")
    schema = settings["schema"]
    # An empty registry: a schema cannot make the server fetch another from anywhere.
    validator = jsonschema.validators.validator_for(schema)(schema, registry=referencing.Registry())
    error = jsonschema.exceptions.best_match(validator.iter_errors(value))
    return passed(error is None, error and f"{error.json_path}: {error.message}"[:500])


def regex(subject: Subject, settings: Settings) -> Result:
    """Whether a regular expression is found in the output."""
    flags = re.IGNORECASE if settings.get("ignore_case") else 0
    found = re.search(settings["pattern"], text_of(subject.output)[:_LONGEST_MATCHED], flags)
    return passed(found is not None, found and f"found {found[0][:100]!r}")


def contains(subject: Subject, settings: Settings) -> Result:
    """Whether all texts stand in the output; with `any`, one of them."""
    output = _cased(text_of(subject.output), settings)
    absent = [text for text in settings["texts"] if _cased(text, settings) not in output]
    enough = len(absent) < len(settings["texts"]) if settings.get("any") else not absent
    return passed(enough, f"without {', '.join(absent)}"[:500] if absent else None)


def latency(subject: Subject, settings: Settings) -> Result:
    """Whether it took no more than `max_ms` milliseconds."""
    return _at_most(subject.latency_ms, settings["max_ms"], "ms")


def cost(subject: Subject, settings: Settings) -> Result:
    """Whether it cost no more than `max` US dollars."""
    return _at_most(subject.cost, settings["max"], "US dollars")


def length(subject: Subject, settings: Settings) -> Result:
    """Whether the output has `min` to `max` characters."""
    count = len(text_of(subject.output))
    within = settings.get("min", 0) <= count <= settings.get("max", float("inf"))
    return passed(within, f"{count} characters")


def refusal(subject: Subject, settings: Settings) -> Result:
    """Whether the output answers (1, `answered`) or declines to (0, `refused`): it has words by which models decline."""
    # Typographic apostrophes are the same word.
    output = text_of(subject.output).casefold().replace("\u2019", "'")
    for words in settings.get("texts", _REFUSALS):
        if words.casefold() in output:
            return Result(0.0, "refused", f"says {words!r}")
    return Result(1.0, "answered")


def _texts(subject: Subject, settings: Settings) -> tuple[str, str]:
    output, ideal = (text_of(value).strip() for value in (subject.output, subject.ideal_output))
    return _cased(output, settings), _cased(ideal, settings)


def _cased(text: str, settings: Settings) -> str:
    return text.casefold() if settings.get("ignore_case") else text


def _same_json(a: Json, b: Json) -> bool:
    try:
        return bool(json_of(a) == json_of(b))
    except ValueError:
        return False


def _at_most(value: float | None, limit: float, unit: str) -> Result:
    if value is None:
        return not_applicable("it is not known")
    return passed(value <= limit, f"{value:g} {unit}")
