"""Values of JSON, and texts, without what rules redact."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from spanloom.redaction import cut_json
from spanloom.redaction.credentials import is_credential, may_have_credentials
from spanloom.redaction.rules import MARK, Compiled

Trail = tuple[str, ...]

_NO_TRAIL: Final[Trail] = ()
_SCHEMA_TYPES: Final = frozenset(
    ("string", "object", "array", "number", "integer", "boolean", "null")
)
_SCHEMA_WORDS: Final = ("$ref", "anyOf", "oneOf", "allOf")
# The names of what holds a name beside a `value`.
NAMED_BY: Final = ("key", "name")
_LEAST_DIGITS: Final = 7
_OPENINGS: Final = ("{", "[")


def is_id(name: str) -> bool:
    """Whether a field of a request holds ids or names of rows, which are not redacted: what they
    name could not be found any more. That of a user is personal data."""
    return name in _ROW_NAMES or (name.endswith(("_id", "_ids")) and name != "user_id")


_ROW_NAMES: Final = frozenset(
    (
        *("id", "ids", "slug", "feature_slug", "project", "project_name", "task", "page_token"),
        *("cursor", "tag", "tags_to_add", "trace_state", "schema_url", "ref", "weave_ref"),
    )
)


def is_value(value: Any) -> bool:
    """Whether a value under the name of a credential can be one. A truth value, null, what is empty
    and a mark are none."""
    if isinstance(value, str):
        return bool(value) and not value.startswith(MARK[:-1])
    if isinstance(value, dict | list):
        return bool(value) and not is_schema(value)
    return value is not None and not isinstance(value, bool)


def is_schema(value: Any) -> bool:
    """Whether an object is a JSON Schema, which describes a value."""
    if not isinstance(value, Mapping):
        return False
    kind = value.get("type")
    return (isinstance(kind, str) and kind in _SCHEMA_TYPES) or any(
        word in value for word in _SCHEMA_WORDS
    )


def redacted_text(rules: Compiled, text: str, trail: Trail = _NO_TRAIL) -> str:
    """A text without what is redacted in it, also in JSON that it holds."""
    if not text:
        return text
    suspect = rules.credentials and may_have_credentials(text.encode("utf-8", "surrogatepass"))
    if not suspect and not rules.has_rules:
        return text
    if text.lstrip()[:1] in _OPENINGS:
        try:
            document = json.loads(text)
            changed = redacted(rules, document, trail)
            return text if changed is document else _dumped(changed, text)
        except (ValueError, RecursionError):  # no JSON, or nested too deeply to be read
            pass
    if suspect:
        text = cut_json.redacted(text)
    return rules.replaced(text)


def redacted(rules: Compiled, value: Any, trail: Trail = _NO_TRAIL) -> Any:
    """A value of JSON without what is redacted in it. The value itself if that is nothing."""
    if isinstance(value, str):
        return redacted_text(rules, value, trail)
    if isinstance(value, dict):
        return _object(rules, value, trail)
    if isinstance(value, list):
        return _list(rules, value, trail)
    return redacted_number(rules, value)


def redacted_member(rules: Compiled, name: str, value: Any, trail: Trail) -> Any:
    """The value of a member of an object, by its name; otherwise as `redacted`."""
    if rules.credentials and is_credential(name) and is_value(value):
        return MARK
    trail = (*trail, name)
    if rules.paths and value is not None and value != MARK and rules.is_path(trail):
        return MARK
    return redacted(rules, value, trail)


def redacted_number(rules: Compiled, value: Any) -> Any:
    """A number, or the text in its place if a pattern finds something in its digits."""
    if not rules.patterns or isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if isinstance(value, float) and not value.is_integer():
        return value
    text = str(int(value))
    if len(text) < _LEAST_DIGITS:
        return value
    changed = rules.replaced(text)
    return value if changed == text else changed


def redacted_fields(rules: Compiled, fields: dict[str, Any]) -> dict[str, Any]:
    """An event of JSON; its ids and its own numbers stay. The same dict if nothing is redacted."""
    return _changed(
        fields,
        lambda name, value: _redacted_field(rules, name, value),
    )


def _redacted_field(rules: Compiled, name: str, value: Any) -> Any:
    """The value of a field of an event, of the same type of JSON, or a text."""
    if is_id(name) or not isinstance(value, str | dict | list):
        return value
    if isinstance(value, dict):
        return redacted(rules, value, (name,))
    return redacted_member(rules, name, value, _NO_TRAIL)


def _object(rules: Compiled, value: dict[str, Any], trail: Trail) -> dict[str, Any]:
    named = rules.credentials and "value" in value and _is_named(value)

    def change(name: str, item: Any) -> Any:
        if named and name == "value" and is_value(item):
            return MARK
        return redacted_member(rules, name, item, trail)

    return _changed(value, change)


def _is_named(value: Mapping[str, Any]) -> bool:
    """Whether an object of a name and a value, such as a header, has a credential's name."""
    return any(isinstance(name := value.get(by), str) and is_credential(name) for by in NAMED_BY)


def _changed(value: dict[str, Any], change: Callable[[str, Any], Any]) -> dict[str, Any]:
    made = {}
    for name, item in value.items():
        new = change(name, item)
        if new is not item:
            made[name] = new
    return {**value, **made} if made else value


def _list(rules: Compiled, value: list[Any], trail: Trail) -> list[Any]:
    pairs = rules.credentials and all(
        isinstance(item, list) and len(item) == 2 and isinstance(item[0], str) for item in value
    )

    def change(item: Any) -> Any:
        if pairs and is_credential(item[0]) and is_value(item[1]):
            return item if item[1] == MARK else [item[0], MARK]
        return redacted(rules, item, trail)

    made = [change(item) for item in value]
    is_same = all(new is item for new, item in zip(made, value, strict=True))
    return value if is_same else made


def _dumped(value: Any, text: str) -> str:
    """JSON in the style of the text that it was read from."""
    separators = (", ", ": ") if '": ' in text else (",", ":")
    written = json.dumps(value, ensure_ascii=False, separators=separators)
    try:
        written.encode()
    except UnicodeEncodeError:  # lone surrogates
        written = json.dumps(value, separators=separators)
    return written
