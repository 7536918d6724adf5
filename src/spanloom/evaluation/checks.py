"""The evaluators that need nothing but the subject.

Whatever settings and subject are, they take time in proportion to the texts and do not block other
threads: patterns are matched by automata (RE2, and the same kind in JSON schemas), which have no
catastrophic cases.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jsonschema_rs
import re2
from rapidfuzz.distance import Levenshtein

from spanloom.evaluation.subject import Result, Subject, json_of, not_applicable, passed, text_of
from spanloom.model import Json

Settings = Mapping[str, Json]

NO_IDEAL = "there is no ideal output to compare with"
# Comparing takes time by the product of both lengths: what lies behind is not looked at.
_LONGEST_COMPARED = 20_000
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
    """Whether output and ideal output are the same JSON, or the same text apart from white space
    around it."""
    if subject.ideal_output is None:
        return not_applicable(NO_IDEAL)
    output, ideal = _texts(subject, settings)
    return passed(output == ideal or _same_json(subject.output, subject.ideal_output))


def edit_similarity(subject: Subject, settings: Settings) -> Result:
    """1 - the Levenshtein distance of output and ideal output in characters, as a share of the
    longer one's length."""
    if subject.ideal_output is None:
        return not_applicable(NO_IDEAL)
    output, ideal = (text[:_LONGEST_COMPARED] for text in _texts(subject, settings))
    longest = max(len(output), len(ideal))
    distance = Levenshtein.distance(output, ideal)
    return Result(1 - distance / longest if longest else 1.0, None, f"{distance} edits")


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
    """ValueError when this is no JSON schema, or one that refers to another outside of it."""
    try:
        _validator(schema)
    except jsonschema_rs.ValidationError as error:
        raise ValueError(f"is not a valid JSON schema: {error.message}") from None


def json_schema(subject: Subject, settings: Settings) -> Result:
    """Whether the output is JSON (or a text that is) as a schema wants it."""
    try:
        value = json_of(subject.output)
    except ValueError:
        return passed(False, "not JSON")
    error = next(_validator(settings["schema"]).iter_errors(value), None)
    return passed(error is None, error and f"{_json_path(error)}: {error.message}"[:500])


def regex(subject: Subject, settings: Settings) -> Result:
    """Whether a regular expression is found in the output."""
    pattern = _pattern(settings["pattern"], ignore_case=bool(settings.get("ignore_case")))
    found = pattern.search(text_of(subject.output))
    return passed(found is not None, found and f"found {found[0][:100]!r}")


def check_pattern(pattern: str) -> None:
    """ValueError when this is no regular expression of RE2's."""
    try:
        _pattern(pattern)
    except re2.error as error:
        why = error.args[0]
        why = why.decode(errors="replace") if isinstance(why, bytes) else why
        raise ValueError(f"is not a regular expression that RE2 supports: {why}") from None


def contains(subject: Subject, settings: Settings) -> Result:
    """Whether all texts occur in the output; with `any`, at least one of them."""
    output = _cased(text_of(subject.output), settings)
    absent = [text for text in settings["texts"] if _cased(text, settings) not in output]
    enough = len(absent) < len(settings["texts"]) if settings.get("any") else not absent
    return passed(enough, f"does not contain {', '.join(absent)}"[:500] if absent else None)


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
    """Whether the output answers (1, `answered`) or declines to (0, `refused`): it has words by
    which models decline."""
    # Typographic apostrophes are the same word.
    output = text_of(subject.output).casefold().replace("\u2019", "'")
    for words in settings.get("texts", _REFUSALS):
        if words.casefold() in output:
            return Result(0.0, "refused", f"contains {words!r}")
    return Result(1.0, "answered")


def _validator(schema: dict[str, Any]) -> Any:
    return jsonschema_rs.validator_for(
        schema, retriever=_refuse, pattern_options=jsonschema_rs.RegexOptions()
    )


def _refuse(address: str) -> Any:
    """A schema cannot make the server fetch another from anywhere."""
    raise LookupError(f"references to other documents are not followed: {address}")


def _json_path(error: Any) -> str:
    steps = (f"[{s}]" if isinstance(s, int) else f".{s}" for s in error.instance_path)
    return "$" + "".join(steps)


def _pattern(pattern: str, *, ignore_case: bool = False) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = not ignore_case
    return re2.compile(pattern, options)


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
        return not_applicable("the trace or log does not have this value")
    return passed(value <= limit, f"{value:g} {unit}")
