"""The statements of the store, each made once. Parameters are bound by name when one runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    Delete,
    Exists,
    Row,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    false,
    func,
    literal,
    or_,
    select,
    tuple_,
    update,
)

from spanloom.model import EVALUATION, MAX_TIME_NS, Span, TraceQuery
from spanloom.store.sql.database import Database
from spanloom.store.sql.event_ids import of_events, of_patched_event
from spanloom.store.sql.reading import select_whole
from spanloom.store.sql.rows import FEEDBACK_COLUMNS, KEY_COLUMNS, TRACE_COLUMNS
from spanloom.store.sql.tables import (
    erasures,
    evaluations,
    feedback,
    is_text,
    keys,
    patches,
    sign_in_links,
    spans,
    traces,
)
from spanloom.store.sql.tables import projects as tables_projects
from spanloom.store.sql.trace_filter import HAS_ERROR

_project: BindParameter[str] = bindparam("project")

ALIVE = select(literal(1))

TRACE_SPANS = select_whole(
    select(spans).where(spans.c.project == _project, spans.c.trace_id == bindparam("trace_id")),
    ("start_ns", "sequence", "span_id"),
)
TRACE_VERSIONS = select(spans.c.version).where(
    spans.c.project == _project, spans.c.trace_id == bindparam("trace_id")
)
TRACE_EXISTS = select(
    or_(
        *(
            exists().where(table.c.project == _project, table.c.trace_id == bindparam("trace_id"))
            for table in (traces, spans)
        )
    )
)
SPAN = select_whole(
    select(spans).where(
        spans.c.project == _project,
        spans.c.trace_id == bindparam("trace_id"),
        spans.c.span_id == bindparam("span_id"),
    ),
    (),
)
# The order of `find_events`.
NEWEST_EVENTS = ("-start_ns", "-sequence", "event_id", "trace_id", "span_id")
_IS_DELETED = exists().where(erasures.c.project == bindparam("name"), erasures.c.user_id == "")
PROJECT_IS_DELETED = select(_IS_DELETED)
PROJECT_IS_WHOLE = select(
    and_(exists().where(tables_projects.c.name == bindparam("name")), ~_IS_DELETED)
)
KEY = select(*KEY_COLUMNS).where(keys.c.id == bindparam("id"))
KEYS = select(*KEY_COLUMNS).order_by(keys.c.created_ns, keys.c.id)
# The first revocation counts.
REVOKE_KEY = (
    update(keys)
    .where(keys.c.id == bindparam("key_id"))
    .values(revoked_ns=func.coalesce(keys.c.revoked_ns, bindparam("at_ns")))
)
# A key that is valid and was not rotated.
REPLACE_KEY = (
    update(keys)
    .where(
        keys.c.id == bindparam("key_id"),
        keys.c.revoked_ns.is_(None),
        keys.c.replaced_by == "",
        or_(keys.c.expires_ns.is_(None), keys.c.expires_ns > bindparam("now_ns")),
    )
    .values(replaced_by=bindparam("successor"), expires_ns=bindparam("until_ns"))
)
NOTE_KEY_USE = (
    update(keys)
    .where(
        keys.c.id == bindparam("key_id"),
        func.coalesce(keys.c.last_used_ns, 0) < bindparam("at_ns"),
    )
    .values(last_used_ns=bindparam("at_ns"))
)
# The valid key of a link that has not expired.
KEY_OF_LINK = (
    select(*KEY_COLUMNS)
    .join(sign_in_links, sign_in_links.c.key_id == keys.c.id)
    .where(
        sign_in_links.c.digest == bindparam("digest"),
        sign_in_links.c.expires_ns > bindparam("now_ns"),
        keys.c.revoked_ns.is_(None),
        or_(keys.c.expires_ns.is_(None), keys.c.expires_ns > bindparam("now_ns")),
    )
)
USED_LINK = delete(sign_in_links).where(sign_in_links.c.digest == bindparam("digest"))
EXPIRED_LINKS = delete(sign_in_links).where(sign_in_links.c.expires_ns <= bindparam("now_ns"))


def event(database: Database, project: str, event_id: str, trace_id: str = "") -> Select[Any]:
    """The newest span of an event, whole; with a trace, that of it."""
    of_event = of_events(database, [event_id])
    found = select(spans).where(spans.c.project == project, of_event)
    if trace_id:
        found = found.where(spans.c.trace_id == trace_id)
    return select_whole(found, ("-version",), limit=1)


def has_spans(database: Database) -> Exists:
    """Whether an event that has updates has spans."""
    return exists().where(of_patched_event(database))


def trace_deletes(database: Database, project: str, trace_id: str) -> list[Delete]:
    """Deletes of a trace: feedback on it and on its spans, their patches, its waiting evaluations,
    its row, and its spans, last because the first deletes look for them."""
    spans_of = select(spans.c.span_id).where(
        spans.c.project == project, spans.c.trace_id == trace_id
    )
    on_trace = and_(feedback.c.target == "trace", feedback.c.target_id == trace_id)
    on_span = and_(
        feedback.c.target == "span",
        feedback.c.target_id.in_(spans_of),
        feedback.c.trace_id.in_(("", trace_id)),
    )
    of_trace = patches.c.event_id.in_(
        select(spans.c.event_id).where(spans.c.project == project, spans.c.trace_id == trace_id)
    )
    elsewhere = has_spans(database).where(spans.c.trace_id != trace_id)
    by_event = patches.c.trace_id == ""
    return [
        *(delete(feedback).where(feedback.c.project == project, on) for on in (on_trace, on_span)),
        delete(patches).where(patches.c.project == project, of_trace, ~elsewhere, by_event),
        delete(patches).where(patches.c.project == project, patches.c.trace_id == trace_id),
    ] + [
        delete(table).where(table.c.project == project, table.c.trace_id == trace_id)
        for table in (evaluations, traces, spans)
    ]


def replaced_deletes(project: str, trace_id: str) -> list[Delete]:
    """Deletes of a trace that is about to be written anew: its spans, its row, the feedback of
    evaluators, waiting evaluations."""
    of_trace = {
        table: and_(table.c.project == project, table.c.trace_id == trace_id)
        for table in (spans, traces, feedback, evaluations)
    }
    return [
        delete(spans).where(of_trace[spans]),
        delete(traces).where(of_trace[traces]),
        delete(feedback).where(of_trace[feedback], feedback.c.type == EVALUATION),
        delete(evaluations).where(of_trace[evaluations]),
    ]


def list_traces(project: str, query: TraceQuery, *, after: tuple[int, str] | None) -> Select[Any]:
    """TRACE_COLUMNS of the traces that the query asks for, whatever their text, newest start first,
    from behind `after`."""
    found = select(*TRACE_COLUMNS).where(traces.c.project == project)
    for name in ("feature_slug", "name", "user_id", "organization_id", "experiment_id"):
        if value := getattr(query, name):
            found = found.where(is_text(traces.c[name], value))
    if query.status:
        is_error = query.status == "ERROR"
        found = found.where(HAS_ERROR if is_error else is_text(traces.c.status, query.status))
    if query.since_ns is not None:
        found = found.where(traces.c.start_ns >= query.since_ns)
    if query.before_ns is not None:
        found = found.where(traces.c.start_ns < query.before_ns)
    if query.min_duration_ns:
        found = found.where(traces.c.end_ns - traces.c.start_ns >= query.min_duration_ns)
    if after is not None:
        found = found.where(after_trace(*after))
    return found.order_by(traces.c.start_ns.desc(), traces.c.trace_id.desc())


def after_trace(start_ns: int, trace_id: str) -> ColumnElement[bool]:
    """What comes after a trace in the order of `list_traces`."""
    position = tuple_(literal(start_ns, BigInteger), literal(trace_id))
    return tuple_(traces.c.start_ns, traces.c.trace_id) < position


def feedback_on(
    database: Database, project: str, targets: Sequence[tuple[str, str]]
) -> Select[Any]:
    """FEEDBACK_COLUMNS of all feedback on the targets, oldest first."""
    ids: dict[str, list[str]] = {}
    for target, target_id in targets:
        ids.setdefault(target, []).append(target_id)
    return (
        select(*FEEDBACK_COLUMNS)
        .where(
            feedback.c.project == project,
            or_(
                false(),
                *(
                    and_(
                        feedback.c.target == target,
                        database.among(feedback.c.target_id, among),
                    )
                    for target, among in ids.items()
                ),
            ),
        )
        .order_by(feedback.c.created_ns, feedback.c.id)
    )


def find_feedback(project: str, *, ref: str, type: str) -> Select[Any]:
    """FEEDBACK_COLUMNS of a project's feedback, newest first; "" means any."""
    found = select(*FEEDBACK_COLUMNS).where(feedback.c.project == project)
    if ref:
        found = found.where(feedback.c.ref == ref)
    if type:
        found = found.where(feedback.c.type == type)
    return found.order_by(feedback.c.created_ns.desc(), feedback.c.id.desc())


def projects(name: str, after: str) -> Select[Any]:
    """The projects behind a name, or with one, by name."""
    is_deleted = exists().where(
        erasures.c.project == tables_projects.c.name, erasures.c.user_id == ""
    )
    found = select(tables_projects).where(
        tables_projects.c.name == name if name else tables_projects.c.name > after, ~is_deleted
    )
    return found.order_by(tables_projects.c.name)


def find_events(conditions: Sequence[ColumnElement[bool]], project: str) -> Select[Any]:
    """The rows of a project's events."""
    return select(spans).where(spans.c.project == project, *conditions)


def after_event(span: Span) -> ColumnElement[bool]:
    """What comes after an event in the order of `find_events`."""
    rest = (spans.c.event_id, spans.c.trace_id, spans.c.span_id)
    place = tuple_(spans.c.start_ns, spans.c.sequence)
    at = tuple_(literal(span.start_ns, BigInteger), literal(span.sequence, BigInteger))
    return and_(
        spans.c.start_ns <= span.start_ns,  # for the index
        or_(
            place < at,
            and_(
                place == at,
                tuple_(*rest) > tuple_(*map(literal, (span.event_id, span.trace_id, span.span_id))),
            ),
        ),
    )


def page(
    connection: Connection, found: Select[Any], *, limit: int, offset: int
) -> tuple[Sequence[Row[Any]], int]:
    """The rows of one page, and the number of all. They are counted only where the page does not
    tell."""
    rows = connection.execute(found.limit(limit).offset(min(offset, MAX_TIME_NS))).fetchall()
    return rows, total(connection, found, rows, limit, offset)


def total(
    connection: Connection, found: Select[Any], page: Sequence[Any], limit: int, offset: int
) -> int:
    """The number of all rows of which this is a page. They are counted only where the page does not
    tell."""
    if len(page) < limit and (page or not offset):
        return offset + len(page)
    everything = found.with_only_columns(func.count()).order_by(None)
    return int(connection.execute(everything).scalar_one())
