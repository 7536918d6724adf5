"""What a project has in addition to its spans: keys, experiments, prompts, datasets, evaluators and
evaluations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from spanloom.model.genai import Json
from spanloom.model.span import NO_BODY

# The kind of the records that are HoneyHive's datapoints.
DATAPOINT = "datapoint"
# The kind of the record that has the rules by which a project's requests are redacted.
REDACTION = "redaction"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """An API key without its secret. `project` "*" is an instance key. Roles: ingest, read, review,
    admin. `name` is for people. From `expires_ns` on the key is not valid; None is never.
    `last_used_ns` may be a minute behind. `replaced_by` is the id of the key that took its place,
    "" for none."""

    id: str
    project: str
    role: str
    digest: str
    created_ns: int
    revoked_ns: int | None = None
    name: str = ""
    expires_ns: int | None = None
    last_used_ns: int | None = None
    replaced_by: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInLink:
    """A link by which a person signs in once with a key: the digest of its token."""

    digest: str
    key_id: str
    expires_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Experiment:
    """A set of traces of one feature that are compared."""

    id: str
    name: str
    feature_slug: str
    created_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptVersion:
    """One version of a prompt; it never changes. `body` holds text, system_text and model, as
    PromptService shows them.

    Name, description and feature of a prompt are those of its newest version.
    """

    slug: str
    version: str
    name: str = ""
    description: str = ""
    feature_slug: str = ""
    created_ns: int = 0
    body: Mapping[str, Json] = field(default_factory=lambda: NO_BODY)


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTag:
    """A name that points at one version of a prompt, and can move."""

    slug: str
    label: str
    version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A table of examples, without its rows. A row is {values: {column: text}, name?,
    ideal_output?, metadata?}. `details` is what else is shown of it, as JSON."""

    slug: str
    name: str
    columns: Sequence[str]
    details: Mapping[str, Json] = field(default_factory=lambda: NO_BODY)
    created_ns: int = 0
    updated_ns: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluator:
    """A program that judges traces and spans which name its slug: a kind with settings (`body`)."""

    slug: str
    kind: str
    created_ns: int = 0
    body: Mapping[str, Json] = field(default_factory=lambda: NO_BODY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """One evaluator to be run on one thing: a trace (`span_id` "") or a span of it. `failures`
    counts the runs that failed; a run that a killed server left behind did not fail.

    `evaluator` "" is a scan of a trace for evaluators to run.
    """

    trace_id: str
    span_id: str
    evaluator: str
    project: str = ""
    failures: int = 0


def trace_scan(trace_id: str) -> Evaluation:
    """A job that scans a trace for evaluators to run, queued when spans of the trace arrive."""
    return Evaluation(trace_id=trace_id, span_id="", evaluator="")


@dataclass(frozen=True, slots=True)
class Record:
    """An object that the store only keeps: its id, when it was created, and its JSON."""

    id: str
    created_ns: int
    body: Mapping[str, Json]
