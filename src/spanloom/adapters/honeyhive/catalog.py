"""Entries of HoneyHive's catalogs: tools, configurations, metrics and charts, each a JSON object.

An entry is kept as it was sent. A kind says which of its fields have to be there and of which type
they are, and what an entry shows where the client sent nothing, for the clients' own schemas demand
those fields. Source: docs/contracts/events.md, section 1.12.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import orjson

from spanloom.codec.timestamps import timestamp_from_ns
from spanloom.errors import SpanloomError, invalid_field
from spanloom.model import Json, Record
from spanloom.model.checks import Violations

MOST_BYTES: Final = 65_536
MOST_VERSIONS: Final = 20
UPDATED: Final = "updated_ns"
VERSIONS: Final = "versions"
# What the server says of an entry.
_OWN: Final = ("id", "_id", "metric_id", "project", "created_at", "updated_at")

# Why a value is wrong; None if it is right.
Check = Callable[[Json], str | None]


def _is(kind: type | tuple[type, ...], noun: str, value: Json) -> str | None:
    wrong = (isinstance(value, bool) and kind is not bool) or not isinstance(value, kind)
    return f"must be {noun}" if wrong else None


def _word(words: Sequence[str], value: Json) -> str | None:
    return None if value in words else f"must be one of {', '.join(words)}"


def _each(check: Check, value: Json) -> str | None:
    if not isinstance(value, list):
        return "must be a list"
    return next((f"{why} in each element" for item in value if (why := check(item))), None)


def _with(needed: Mapping[str, Check], value: Json) -> str | None:
    """An object with these fields."""
    if not isinstance(value, dict):
        return "must be an object"
    wrong = (
        f"{name} {'is required' if name not in value else why}"
        for name, check in needed.items()
        if (why := check(value.get(name)))
    )
    return next(wrong, None)


_TEXT: Final = partial(_is, str, "a text")
_FLAG: Final = partial(_is, bool, "true or false")
_NUMBER: Final = partial(_is, (int, float), "a number")
_OBJECT: Final = partial(_is, dict, "an object")
_LIST: Final = partial(_is, list, "a list")
_TEXTS: Final = partial(_each, _TEXT)


def _one_of(*words: str) -> Check:
    return partial(_word, words)


@dataclass(frozen=True, slots=True)
class Kind:
    """What entries of one kind are.

    Args:
        name: As the store calls it, and the field of a request that holds the entry.
        checks: By field, what its value has to be.
        required: The fields without which no entry is created.
        defaults: What is shown where nothing was sent.
    """

    name: str
    checks: Mapping[str, Check]
    required: tuple[str, ...]
    defaults: Mapping[str, Json] = field(default_factory=dict)

    def sent(self, document: Mapping[str, Json], *, whole: bool = True, at: str = "") -> Json:
        """The entry in what a client sent, without nulls and without what the server says.

        Args:
            whole: Whether all required fields must be there.
            at: Where the entry is in the request; without it, in the field of its kind.

        Raises:
            SpanloomError: INVALID_ARGUMENT, which names each bad field.
        """
        entry = {k: v for k, v in document.items() if v is not None and k not in _OWN}
        within = at or self.name
        bad = Violations(within=f"{within}.")
        if entry_id := id_of(document, "id"):
            bad.check_id("id", entry_id)
        for name in self.required if whole else ():
            if name not in entry:
                bad.add(name, "is required")
        for name, check in self.checks.items():
            if name in entry and (why := check(entry[name])):
                bad.add(name, why)
        bad.refuse()
        if refused := self._too_large(entry, within):
            raise refused
        return entry

    def merged(self, stored: Mapping[str, Json], update: Json) -> Json | SpanloomError:
        """The entry with an update, whose fields replace those of the entry; an error if it becomes
        too large."""
        entry = {**content_of(stored), **update}
        return self._too_large(entry, self.name) or entry

    def _too_large(self, entry: Json, at: str) -> SpanloomError | None:
        if len(orjson.dumps(entry)) <= MOST_BYTES:
            return None
        return invalid_field(at, f"must have at most {MOST_BYTES} bytes of JSON")

    def shown(self, project: str, record: Record) -> dict[str, Json]:
        """The entry as it is given back."""
        return {
            **self.defaults,
            **content_of(record.body),
            "id": record.id,
            "_id": record.id,
            "project": project,
            "created_at": _time(record.created_ns),
            "updated_at": _time(record.body.get(UPDATED, record.created_ns)),
        }


TOOL: Final = Kind(
    "tool",
    {
        **dict.fromkeys(("name", "description", "task"), _TEXT),
        "parameters": _OBJECT,
        "type": _one_of("function", "tool"),
    },
    required=("name", "parameters"),
    defaults={"task": "", "type": "function"},
)
CONFIGURATION: Final = Kind(
    "configuration",
    {
        **dict.fromkeys(("name", "provider"), _TEXT),
        "parameters": partial(_with, {"call_type": _one_of("chat", "completion"), "model": _TEXT}),
        "type": _one_of("LLM", "pipeline"),
        "env": partial(_each, _one_of("dev", "staging", "prod")),
        "tags": _TEXTS,
        "user_properties": _OBJECT,
    },
    required=("name", "provider", "parameters"),
    defaults={"type": "LLM", "env": [], "tags": []},
)
# The type of a metric, and what older clients call it.
_METRIC_TYPES: Final = {
    "PYTHON": "custom",
    "LLM": "model",
    "HUMAN": "human",
    "COMPOSITE": "composite",
}
METRIC: Final = Kind(
    "metric",
    {
        **dict.fromkeys(("name", "criteria", "code_snippet", "prompt", "task"), _TEXT),
        **dict.fromkeys(("description", "event_name", "event_type"), _TEXT),
        **dict.fromkeys(("model_provider", "model_name"), _TEXT),
        **dict.fromkeys(("enabled_in_prod", "needs_ground_truth", "pass_when"), _FLAG),
        "type": _one_of(*_METRIC_TYPES, *_METRIC_TYPES.values()),
        "return_type": _one_of("float", "boolean", "string", "categorical"),
        "sampling_percentage": _NUMBER,
        "scale": partial(_is, int, "a whole number"),
        "threshold": _OBJECT,
        "categories": _LIST,
        "child_metrics": partial(_each, _OBJECT),
        "filters": partial(_with, {"filterArray": _LIST}),
    },
    required=("name", "type"),
    defaults={
        "criteria": "",
        "description": "",
        "return_type": "float",
        "enabled_in_prod": False,
        "sampling_percentage": 100,
        "needs_ground_truth": False,
        "filters": {"filterArray": []},
    },
)
CHART: Final = Kind(
    "chart",
    {
        **dict.fromkeys(("name", "metric", "description", "func", "groupBy"), _TEXT),
        **dict.fromkeys(("bucketing", "owner_id"), _TEXT),
        "dateRange": _OBJECT,
        "query": _LIST,
    },
    required=("name", "metric"),
    defaults={
        **dict.fromkeys(("description", "func", "groupBy", "dateRange", "owner_id")),
        "bucketing": "hour",
        "query": [],
        "is_active": True,
    },
)


def project_of(document: Mapping[str, Json]) -> str:
    """The project that an entry names: the field is called `task` by older clients."""
    named = (document.get(name) for name in ("project", "task"))
    return next((name for name in named if isinstance(name, str) and name), "")


def id_of(document: Mapping[str, Json], *names: str) -> str:
    """The id in an entry, "" for none."""
    named = (document.get(name) for name in names)
    return next((name for name in named if isinstance(name, str)), "")


def older_tool(tool: Mapping[str, Json]) -> dict[str, Json]:
    """A tool with the names that older clients know."""
    return {**tool, "task": tool["task"] or tool["project"], "tool_type": tool["type"]}


def older_metric(metric: Mapping[str, Json]) -> dict[str, Json]:
    """A metric with the names that older clients know."""
    kind, result = metric["type"], metric["return_type"]
    return {
        **metric,
        "task": metric.get("task") or metric["project"],
        "type": _METRIC_TYPES.get(kind, kind),
        "return_type": "string" if result == "categorical" else result,
    }


def content_of(stored: Mapping[str, Json]) -> dict[str, Json]:
    """An entry without what only the store needs."""
    return {k: v for k, v in stored.items() if k not in (UPDATED, VERSIONS)}


# Versions of metrics


def with_version(
    metric: Mapping[str, Json], content: Json, message: str, now_ns: int, *, deploy: bool = True
) -> dict[str, Json]:
    """A metric with one more version; the oldest are dropped, but for the one that is deployed."""
    versions = list(metric.get(VERSIONS, ()))
    number = 1 + max((int(each["name"][1:]) for each in versions), default=0)
    version = {
        "name": f"v{number}",
        "full_sha": hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest(),
        "message": message,
        "date_ns": now_ns,
        "deployed": False,
        "content": content,
    }
    changed: dict[str, Json] = {**metric, VERSIONS: [*versions, version]}
    if deploy:
        changed = deployed(changed, f"v{number}") or changed
    dropped = len(changed[VERSIONS]) - MOST_VERSIONS
    kept = [v for n, v in enumerate(changed[VERSIONS]) if n >= dropped or v["deployed"]]
    return {**changed, VERSIONS: kept}


def deployed(metric: Mapping[str, Json], name: str) -> dict[str, Json] | None:
    """A metric that shows the version of this name; None if it has none."""
    versions = [{**each, "deployed": each["name"] == name} for each in metric[VERSIONS]]
    live = next((each for each in versions if each["deployed"]), None)
    return live and {**live["content"], VERSIONS: versions}


def shown_version(version: Mapping[str, Json]) -> dict[str, Json]:
    """A version of a metric as it is given back."""
    shown: dict[str, Any] = {k: v for k, v in version.items() if k != "date_ns"}
    content = {**METRIC.defaults, **version["content"]}
    return {**shown, "date": _time(version["date_ns"]), "content": content}


def _time(ns: int) -> str:
    return timestamp_from_ns(ns - ns % 1_000_000).ToJsonString()
