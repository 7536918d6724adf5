"""Between the model and the tables' rows: pure functions.

Whatever a database would refuse is refused here, by name, so that no value fails the transaction it
shares with others.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from hashlib import blake2b
from operator import attrgetter
from typing import Any, NamedTuple

import orjson
from sqlalchemy import BigInteger, Column, Table, Text

from spanloom import errors
from spanloom.model import (
    MAX_ID_LENGTH,
    MAX_TIME_NS,
    Evaluation,
    Feedback,
    Json,
    Key,
    Span,
    Trace,
    uuid7,
)
from spanloom.model.patch import Patch
from spanloom.model.span import NO_IO, told_apart
from spanloom.store.spans import RefusedSpan
from spanloom.store.sql import attachments, tables
from spanloom.store.sql.bodies import body_of
from spanloom.store.sql.database import Row
from spanloom.store.sql.packing import packed

# What is read, in the order in which the functions below take it.
TRACE_COLUMNS = [c for c in tables.traces.c if c.name not in ("project", "version")]
FEEDBACK_COLUMNS = [c for c in tables.feedback.c if c.name not in ("project", "version")]
KEY_COLUMNS = list(tables.keys.c)

_trace_values = attrgetter(*(c.name for c in TRACE_COLUMNS))
_feedback_values = attrgetter(*(c.name for c in FEEDBACK_COLUMNS if c.name != "body"))
_key_values = attrgetter(*(c.name for c in KEY_COLUMNS))

# Indexed, hence bounded: PostgreSQL refuses an index entry past 2,704 bytes.
_IDS = frozenset(
    [
        *("project", "id", "trace_id", "span_id", "event_id", "session_id", "parent_id", "kind"),
        *("target", "target_id", "slug", "label", "version", "evaluator"),
    ]
)
# The version of the code that makes columns of what was sent.
READER = 1
# A trace is scanned for evaluations so long after its last span came: most spans come together.
SCAN_AFTER_NS = 1_000_000_000
# In the place of a version: the transaction that writes the row puts its version there, or leaves
# the placeholder's.
NUMBERED_LATER = 1
_PLACEHOLDER = 0
# Columns that no field of a span is.
_NOT_OF_SPAN = ("body", "agent_version", "reader", "apart")
# What a row takes in the queue beside its texts, roughly, in bytes.
_ROW_OVERHEAD = 500


class SpanRows(NamedTuple):
    """What one call writes: rows of `spans`, of `bodies` (one a span, in the same order), of
    `envelopes`, of `attachments` and of `traces`, their size in bytes, the bytes of what was sent,
    unpacked, and the spans that no row can hold."""

    spans: list[Row]
    bodies: list[Row]
    envelopes: list[Row]
    attachments: list[Row]
    traces: list[Row]
    size: int
    sent: int
    refused: list[RefusedSpan]

    def by_table(self) -> dict[Table, list[Row]]:
        """What a transaction writes."""
        return {
            tables.envelopes: self.envelopes,
            tables.attachments: self.attachments,
            tables.bodies: self.bodies,
            tables.spans: self.spans,
            tables.traces: self.traces,
        }

    def with_evaluations(
        self, project: str, evaluations: Sequence[Evaluation]
    ) -> dict[Table, list[Row]]:
        """The same, with what is to be evaluated."""
        found = self.by_table()
        if evaluations:
            found[tables.evaluations] = evaluation_rows(project, evaluations)
        return found


def count(work: Mapping[Table, Sequence[Row]]) -> int:
    """The rows of a call that count in the queue."""
    return sum(len(work.get(table, ())) for table in (tables.spans, tables.evaluations))


def span_rows(project: str, spans: Sequence[Span], *, partial: bool = False) -> SpanRows:
    """The rows of spans and of their traces, each span encoded once.

    A trace's row comes from its root, the earliest if several; without a root from its earliest
    span, as a placeholder.

    Args:
        partial: a span that cannot be stored is reported in `refused`, and the others have rows.

    Raises:
        INVALID_ARGUMENT: without `partial`, a span cannot be stored; it names `spans[n].field`.
    """
    check_texts("", {"project": project})
    refused: list[RefusedSpan] = []

    def refuse(position: int, error: errors.SpanloomError) -> None:
        [violation] = error.violations
        if not partial:
            raise _invalid(f"spans[{position}]", violation.field, violation.description) from None
        refused.append(RefusedSpan(position, violation.field, violation.description))

    rows: list[Row | None] = []
    messages: list[bytes] = []
    size = 0
    heads: dict[str, int] = {}
    for position, span in enumerate(spans):
        try:
            length = _check_span(span)
            message = span.sent.message
            if not message or span.io is not NO_IO:
                # Also where a message is kept: what is made of it later can be written as JSON.
                body = json_bytes(body_of(span))
                message = message or body
            row = _span_row(project, span)
        except errors.SpanloomError as error:
            refuse(position, error)
            rows.append(None)
            messages.append(b"")
            continue
        size += length
        rows.append(row)
        messages.append(message)
        head = heads.setdefault(span.trace_id, position)
        if head != position and _rank(span) < _rank(spans[head]):
            heads[span.trace_id] = position
    traces = []
    for head in heads.values():
        try:
            traces.append(trace_row(project, spans[head]))
        except errors.SpanloomError as error:
            refuse(head, error)
            rows[head] = None
            # The next of the trace that can tell it. Rare: a user's or an experiment's id that no
            # column can hold.
            for position in _by_rank(spans, rows, spans[head].trace_id):
                try:
                    traces.append(trace_row(project, spans[position]))
                    break
                except errors.SpanloomError as another:
                    refuse(position, another)
                    rows[position] = None
    kept = [position for position, row in enumerate(rows) if row is not None]
    data = [spans[position].sent.data for position in kept]
    frames, contents = packed([messages[position] for position in kept], data)
    size += sum(map(len, frames)) + len(kept) * _ROW_OVERHEAD
    of_contents = sum(len(content) for _, content in contents.values())
    size += of_contents
    digests: dict[bytes, bytes | None] = {b"": None}
    bodies: list[Row] = []
    for position, frame in zip(kept, frames, strict=True):
        sent = spans[position].sent
        envelope = sent.envelope
        if envelope not in digests:  # nearly all spans share one
            digests[envelope] = blake2b(envelope, digest_size=16).digest()
        adapter = sent.adapter if sent.message else ""
        bodies.append([NUMBERED_LATER, adapter, frame, digests[envelope], None])
    refused.sort()
    return SpanRows(
        [row for row in rows if row is not None],
        bodies,
        [[project, digest, envelope] for envelope, digest in digests.items() if digest],
        attachments.content_rows(project, contents),
        traces,
        size,
        sum(map(len, messages)) + of_contents,
        refused,
    )


def _span_row(project: str, span: Span) -> Row:
    """In the order of the table. Written out, since this is where a write spends its time in
    Python."""
    agent = span.genai.agent
    version = (agent and agent.version) or ""
    if version:
        check_texts("", {"agent.version": version})
    return [
        project,
        span.trace_id,
        span.span_id,
        NUMBERED_LATER,
        span.event_id,
        span.session_id,
        span.parent_id,
        span.name,
        span.kind,
        span.operation,
        span.start_ns,
        span.end_ns,
        span.duration_ms,
        span.status,
        span.agent_name,
        span.provider,
        span.model,
        span.input_tokens,
        span.output_tokens,
        span.cost,
        version,
        READER,
        _apart(span),
        NUMBERED_LATER,
    ]


def _apart(span: Span) -> int:
    if span.sent.message and span.io is NO_IO:
        return span.sent.apart
    return told_apart(span.io.config, span.io.metadata, span)


def updated_rows(project: str, base: Sequence[Any], whole: Span, updates: str | None) -> SpanRows:
    """The rows of a stored span with its updates: its columns anew, and what was sent as it is.

    Args:
        base: of `bodies`, adapter, sent and envelope.
        whole: the span with its updates.
        updates: The updates as JSON, None for none.
    """
    check_texts("", {"project": project})
    _check_span(whole)
    json_bytes(body_of(whole))
    row = _span_row(project, whole)
    body = [NUMBERED_LATER, *base, updates]
    return SpanRows([row], [body], [], [], [trace_row(project, whole)], 0, 0, [])


def feedback_row(project: str, feedback: Feedback) -> Row:
    """A row of `feedback`. INVALID_ARGUMENT names the field."""
    check_texts("", {"project": project, **_named(feedback, tables.feedback.c, Text)})
    _check_integers(_named(feedback, tables.feedback.c, BigInteger))
    values = _feedback_values(feedback)
    return [project, values[0], NUMBERED_LATER, *values[1:], json_text(feedback.body)]


def evaluation_rows(project: str, evaluations: Sequence[Evaluation]) -> list[Row]:
    """Rows of `evaluations` that may be taken now; a scan, once its trace has been quiet for a
    while. INVALID_ARGUMENT names the field."""
    now = time.time_ns()
    found = []
    for job in evaluations:
        names = {"trace_id": job.trace_id, "span_id": job.span_id, "evaluator": job.evaluator}
        check_texts("", names)
        due_ns = now if job.evaluator else now + SCAN_AFTER_NS
        found.append([project, *names.values(), NUMBERED_LATER, "", due_ns, 0])
    return found


def patch_row(project: str, event_id: str, patch: Patch, trace_id: str = "") -> Row:
    """A row of `patches`; with a trace, that of a span of it. INVALID_ARGUMENT names the field."""
    check_texts("", {"project": project, "event_id": event_id, "trace_id": trace_id})
    return [project, event_id, uuid7(), NUMBERED_LATER, json_text(patch), trace_id]


def key_row(key: Key) -> Row:
    """A row of `keys`. INVALID_ARGUMENT names the field."""
    check_texts("", {"project": key.project, **_named(key, tables.keys.c, Text)})
    _check_integers(_named(key, tables.keys.c, BigInteger))
    return list(_key_values(key))


def to_trace(row: Sequence[Any]) -> Trace:
    """From TRACE_COLUMNS."""
    values = dict(zip((c.name for c in TRACE_COLUMNS), row, strict=True))
    sampled = values.pop("sampled")
    return Trace(**values, sampled=None if sampled is None else bool(sampled))


def to_feedback(row: Sequence[Any]) -> Feedback:
    """From FEEDBACK_COLUMNS."""
    values = dict(zip((c.name for c in FEEDBACK_COLUMNS), row, strict=True))
    return Feedback(**{**values, "body": orjson.loads(values["body"])})


def to_key(row: Sequence[Any]) -> Key:
    """From KEY_COLUMNS."""
    return Key(**dict(zip((c.name for c in KEY_COLUMNS), row, strict=True)))


def checked(**texts: str) -> dict[str, str]:
    """The texts as parameters of a query; INVALID_ARGUMENT names one that no database can hold."""
    check_texts("", texts)
    return texts


def check_texts(where: str, texts: Mapping[str, str]) -> None:
    """INVALID_ARGUMENT naming `where.name` for a text that some database cannot hold, or an id that
    is too long."""
    for name, value in texts.items():
        if name in _IDS and len(value) > MAX_ID_LENGTH:
            raise _invalid(where, name, f"is longer than {MAX_ID_LENGTH} characters")
        if "\0" in value:
            raise _invalid(where, name, "holds a NUL character")
        if not _encodable(value):
            raise _invalid(where, name, "holds a lone surrogate, which is not text")


def storable(text: str) -> bool:
    """Whether a row can hold the text at all: a text with NUL or lone surrogates is found
    nowhere."""
    return "\0" not in text and _encodable(text)


def _check_span(span: Span) -> int:
    """Refuse what cannot be stored; the length of the span's texts. A cheap check first, which
    nearly all spans pass."""
    texts = (
        span.trace_id,
        span.span_id,
        span.event_id,
        span.session_id,
        span.parent_id,
        span.kind,
        span.name,
        span.operation,
        span.status,
        span.agent_name,
        span.provider,
        span.model,
    )
    joined = "".join(texts)
    if not joined.isascii() or "\0" in joined or max(map(len, texts)) > MAX_ID_LENGTH:
        check_texts("", _named(span, tables.spans.c, Text))
    bits = span.start_ns | (span.end_ns or 0) | (span.input_tokens or 0) | (span.output_tokens or 0)
    if not 0 <= bits <= MAX_TIME_NS:
        _check_integers(_named(span, tables.spans.c, BigInteger))
    return len(joined)


def _named(
    value: Span | Feedback | Key, columns: Iterable[Column[Any]], kind: type
) -> dict[str, Any]:
    """The value's fields that are columns of a kind."""
    return {
        c.name: getattr(value, c.name)
        for c in columns
        if isinstance(c.type, kind)
        and c.name not in ("project", "version", "sequence", *_NOT_OF_SPAN)
    }


def _check_integers(integers: Mapping[str, int | None]) -> None:
    for name, value in integers.items():
        if value is not None and not -MAX_TIME_NS <= value <= MAX_TIME_NS:
            raise _invalid("", name, "does not fit in 64 bits")


def _rank(span: Span) -> tuple[bool, int]:
    """The least is the head of its trace: the earliest root, else the earliest span."""
    return (span.parent_id != "", span.start_ns)


def _by_rank(spans: Sequence[Span], rows: Sequence[Row | None], trace_id: str) -> list[int]:
    """The positions of a trace's spans that have rows, its head first."""
    found = [n for n, row in enumerate(rows) if row is not None and row[1] == trace_id]
    return sorted(found, key=lambda n: _rank(spans[n]))


def trace_row(project: str, span: Span) -> Row:
    """The row of a trace, made from a span of it: a placeholder if that is no root."""
    said = span.trace
    named = {
        "feature_slug": said.feature_slug or "",
        "user.id": (said.user and said.user.id) or "",
        "organization.id": (said.organization and said.organization.id) or "",
        "experiment.id": said.experiment_id or "",
    }
    check_texts("", named)
    row = Trace(
        trace_id=span.trace_id,
        name=span.name,
        feature_slug=named["feature_slug"],
        start_ns=span.start_ns,
        end_ns=span.end_ns,
        status=span.status,
        session_id=span.session_id,
        user_id=named["user.id"],
        organization_id=named["organization.id"],
        experiment_id=named["experiment.id"],
    )
    trace_id, *values = _trace_values(row)
    values[-1] = None if said.sampled is None else int(said.sampled)
    return [project, trace_id, _PLACEHOLDER if span.parent_id else NUMBERED_LATER, *values]


def json_text(body: Mapping[str, Json]) -> str:
    """The JSON of a body as text. INVALID_ARGUMENT names the key."""
    return json_bytes(body).decode()


def json_bytes(body: Mapping[str, Json]) -> bytes:
    """The JSON of a body. INVALID_ARGUMENT names the key."""
    try:
        return orjson.dumps(body if isinstance(body, dict) else dict(body))
    except (TypeError, ValueError):
        raise _invalid(
            "",
            _not_json(body.items()),
            "is not JSON that can be stored: text must be valid Unicode, integers fit in 64 bits, "
            "and no more than 254 levels nest",
        ) from None


def _not_json(items: Iterable[tuple[str, Json]]) -> str:
    """The first name whose value is not JSON."""
    for name, value in items:
        try:
            orjson.dumps({name: value})
        except (TypeError, ValueError):
            return name if isinstance(name, str) and _encodable(name) else "body"
    return "body"


def _encodable(value: str) -> bool:
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _invalid(where: str, name: str, description: str) -> errors.SpanloomError:
    return errors.invalid_field(f"{where}.{name}" if where else name, description)
