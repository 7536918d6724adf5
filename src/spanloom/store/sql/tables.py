"""The tables, as every database has them; `migrations/` makes them.

Key columns come first and `version` after them: of a table with a version the row of a key that is
written last is kept, of a table without one the first. Rows are written whole, and nothing relies
on foreign keys.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    TextClause,
    and_,
    func,
    literal_column,
    text,
)

from spanloom.model.limits import LIMIT_NAMES

# Compared by bytes and with case on every database: SQLite does so by itself, PostgreSQL in
# collation C.
TEXT = Text().with_variant(Text(collation="C"), "postgresql")

# PostgreSQL refuses a row whose index entry is longer than 2,704 bytes. So texts that clients
# choose freely have an entry only up to this many characters.
LONGEST_INDEXED = 256

metadata = MetaData()


def _key(name: str) -> Column[Any]:
    return Column(name, TEXT, primary_key=True)


def _text(name: str) -> Column[Any]:
    return Column(name, TEXT, nullable=False)


def _whole(name: str, *, nullable: bool = False) -> Column[Any]:
    return Column(name, BigInteger, nullable=nullable)


def _real(name: str) -> Column[Any]:
    return Column(name, Double, nullable=True)


def _short(name: str) -> TextClause:
    return text(f"length({name}) <= {LONGEST_INDEXED}")


def is_text(column: Column[Any], value: str) -> ColumnElement[bool]:
    """Whether a column is a text, in words that let an index be used which leaves out long ones."""
    if len(value) > LONGEST_INDEXED:
        return column == value
    return and_(column == value, func.length(column) <= literal_column(str(LONGEST_INDEXED)))


spans = Table(
    "spans",
    metadata,
    _key("project"),
    _key("trace_id"),
    _key("span_id"),
    _whole("version"),
    _text("event_id"),
    _text("session_id"),
    _text("parent_id"),
    _text("name"),
    _text("kind"),
    _text("operation"),
    _whole("start_ns"),
    _whole("end_ns", nullable=True),
    _real("duration_ms"),
    _text("status"),
    _text("agent_name"),
    _text("provider"),
    _text("model"),
    _whole("input_tokens", nullable=True),
    _whole("output_tokens", nullable=True),
    _real("cost"),
    _text("agent_version"),
    # What derived the columns of what was sent; 0 is a version before there was this column.
    _whole("reader"),
    # The bits of `spanloom.model.span.Sent.apart`: of which keys columns alone tell the values.
    _whole("apart"),
    # The version with which the span was first written: it orders spans that start at one time by
    # when they were sent. 0 in rows from before there was this column.
    Column("sequence", BigInteger, nullable=False, server_default=text("0")),
    # On SQLite, ids of events are in tables of their own: see `event_ids`.
    Index("spans_event", "project", "event_id").ddl_if(dialect="postgresql"),
    Index("spans_session", "project", "session_id", "start_ns"),
    # Charts of durations, counts and pages of ids are read from these alone.
    Index("spans_start", "project", "start_ns", "duration_ms"),
    Index("spans_kind", "project", "kind", "start_ns"),
    Index(
        "spans_name",
        *("project", "name", "start_ns", "duration_ms"),
        postgresql_where=_short("name"),
    ),
    Index(
        "spans_model",
        *("project", "model", "start_ns"),
        postgresql_where=_short("model"),
    ),
    # Of most spans columns tell all values, and they need no entry.
    Index(
        "spans_apart",
        *("project", "apart"),
        sqlite_where=text("apart <> 0"),
        postgresql_where=text("apart <> 0"),
    ),
    # The order in which spans were written, for the index of terms and for who follows a project.
    Index("spans_version", "version"),
    # Most spans name no agent, and need no entry.
    Index(
        "spans_agent",
        *("project", "agent_name", "start_ns"),
        sqlite_where=text("agent_name <> ''"),
        postgresql_where=text(f"agent_name <> '' AND {_short('agent_name')}"),
    ),
)

# What was sent of each span, apart from the columns, so that no list, chart or sum reads it. Rows
# are appended only: a trigger deletes the body of a span's row that is replaced or deleted.
bodies = Table(
    "bodies",
    metadata,
    # The version of the span's row. SQLite's row id, by which a row is found without an index.
    Column(
        "span_version",
        BigInteger().with_variant(Integer, "sqlite"),
        primary_key=True,
        autoincrement=False,
    ),
    # Whose message `sent` is; "" for the JSON of the span's parts (`bodies.body_of`).
    _text("adapter"),
    Column("sent", LargeBinary, nullable=False),  # compressed by `compression`
    Column("envelope", LargeBinary, nullable=True),  # a digest
    # The updates of the span, and what they changed (`reading.Updates`); without updates NULL.
    Column("updates", TEXT, nullable=True),
)

# What many messages of an adapter share, once a project, by the digest of its content.
envelopes = Table(
    "envelopes",
    metadata,
    _key("project"),
    Column("digest", LargeBinary, primary_key=True),
    Column("content", LargeBinary, nullable=False),
)

# Long contents of messages, once a project, by the SHA-256 of the content: see `attachments`.
attachments = Table(
    "attachments",
    metadata,
    _key("project"),
    Column("digest", LargeBinary, primary_key=True),
    # As the message that brought the content first tells it.
    _text("media_type"),
    Column("content", LargeBinary, nullable=False),
)

# Which row of spans has which of them.
attached = Table(
    "attached",
    metadata,
    Column("span_version", BigInteger, primary_key=True, autoincrement=False),
    Column("digest", LargeBinary, primary_key=True),
    _text("project"),
    Index("attached_digest", "project", "digest"),
)

# Those of rows of spans that were replaced or deleted, perhaps several times; triggers put them
# here.
released_attachments = Table(
    "released_attachments",
    metadata,
    _text("project"),
    Column("digest", LargeBinary, nullable=False),
)

# The spans that were deleted last, for who follows the log of changes.
deleted_spans = Table(
    "deleted_spans",
    metadata,
    _key("project"),
    _key("trace_id"),
    _key("span_id"),
    _whole("version"),
    _whole("deleted_ns"),
    Index("deleted_spans_version", "version"),
    Index("deleted_spans_time", "deleted_ns"),
)

traces = Table(
    "traces",
    metadata,
    _key("project"),
    _key("trace_id"),
    # 0 marks a placeholder, for a trace whose root has not come: it never replaces a row.
    _whole("version"),
    _text("name"),
    _text("feature_slug"),
    _whole("start_ns"),
    _whole("end_ns", nullable=True),
    _text("status"),
    _text("session_id"),
    _text("user_id"),
    _text("organization_id"),
    _text("experiment_id"),
    _whole("sampled", nullable=True),  # 1, 0, or NULL where nobody asked
    Index("traces_start", "project", "start_ns", "trace_id"),
    # Not the project first, here and in feedback_trace: SQLite would take it for a list of the
    # whole project, too.
    Index(
        "traces_experiment",
        *("experiment_id", "project", "start_ns", "trace_id"),
        postgresql_where=_short("experiment_id"),
    ),
)

feedback = Table(
    "feedback",
    metadata,
    _key("project"),
    _key("id"),
    _whole("version"),
    _text("target"),
    _text("target_id"),
    _text("trace_id"),
    _text("ref"),
    _text("type"),
    _text("creator"),
    _whole("created_ns"),
    _text("body"),
    Index("feedback_target", "project", "target", "target_id"),
    Index("feedback_trace", "trace_id", "project"),
)

experiments = Table(
    "experiments",
    metadata,
    _key("project"),
    _key("id"),
    _text("name"),
    _text("feature_slug"),
    _whole("created_ns"),
    Index("experiments_created", "project", "created_ns", "id"),
)

prompt_versions = Table(
    "prompt_versions",
    metadata,
    _key("project"),
    _key("slug"),
    _key("prompt_version"),
    _text("name"),
    _text("description"),
    _text("feature_slug"),
    _whole("created_ns"),
    _text("body"),
)

prompt_tags = Table(
    "prompt_tags",
    metadata,
    _key("project"),
    _key("slug"),
    _key("label"),
    _whole("version"),
    _text("prompt_version"),
)

evaluators = Table(
    "evaluators",
    metadata,
    _key("project"),
    _key("slug"),
    _whole("version"),
    _text("kind"),
    _whole("created_ns"),
    _text("body"),
)

datasets = Table(
    "datasets",
    metadata,
    _key("project"),
    _key("slug"),
    _whole("version"),
    _text("name"),
    _text("body"),
)

# In the order of `sequence`, then id.
dataset_rows = Table(
    "dataset_rows",
    metadata,
    _key("project"),
    _key("slug"),
    _key("id"),
    _whole("sequence"),
    _text("body"),
)

# Objects of a project that the store only keeps, by their kind: runs of evaluations and others.
records = Table(
    "records",
    metadata,
    _key("project"),
    _key("kind"),
    _key("id"),
    _whole("version"),
    _whole("created_ns"),
    _text("body"),
    Index("records_created", "project", "kind", "created_ns", "id"),
)

# What is to be evaluated; a row is deleted when its result is stored. `span_id` "" is the trace
# itself, `evaluator` "" a scan of the trace for evaluators. A newer row of a key takes it from the
# process that runs it.
evaluations = Table(
    "evaluations",
    metadata,
    _key("project"),
    _key("trace_id"),
    _key("span_id"),
    _key("evaluator"),
    _whole("version"),
    _text("owner"),  # who runs it, "" for nobody
    _whole("due_ns"),  # when it may be taken: of one that is taken, when its lease ends
    _whole("attempts"),
    Index("evaluations_due", "due_ns"),
    Index("evaluations_evaluator", "project", "evaluator"),
)

# What updates say of events, as `spanloom.model.patch` has it; they are applied in the order of
# `sequence`, then id. An update with a trace is one of the span that the trace has under the id in
# `event_id`; one without is of all spans with that event id.
patches = Table(
    "patches",
    metadata,
    _key("project"),
    _key("event_id"),
    _key("id"),
    _whole("sequence"),
    _text("body"),
    Column("trace_id", TEXT, nullable=False, server_default=""),
    Index(
        "patches_trace",
        *("project", "trace_id"),
        sqlite_where=text("trace_id <> ''"),
        postgresql_where=text("trace_id <> ''"),
    ),
)

# How far the index of terms has come, in its one row: every span of an earlier version is in it,
# as are `entries` in all, those of spans that were deleted or written again among them.
# `owner` fills it until `lease_ns`. `spanloom.store.sql.index.table` has its other tables.
term_cursor = Table(
    "term_cursor",
    metadata,
    Column("id", BigInteger, primary_key=True),
    _whole("reached"),
    _whole("entries"),
    _text("owner"),
    _whole("lease_ns"),
)

# Sums over spans by hour and by day, for each of several sets of dimensions
# (`spanloom.store.sql.usage`). `id` is a digest of what the row sums up: project, cuboid, hours,
# start_ns and the dimensions, of which those that the cuboid does not have are "". The numbers are
# whole, and are sums that a row of a deleted span is taken from again.
usage_cells = Table(
    "usage_cells",
    metadata,
    # Project, cuboid, hours and start, and a checksum of the whole place: a question reads a range
    # of ids.
    _key("id"),
    _text("project"),
    _text("cuboid"),
    _whole("hours"),
    _whole("start_ns"),
    *(_text(name) for name in ("kind", "name", "provider", "model", "agent_name")),
    *(_text(name) for name in ("agent_version", "user_id", "feature", "source")),
    *(_real(name) for name in ("spans", "errors", "traces", "failed_traces", "model_calls")),
    *(_real(name) for name in ("tool_calls", "invocations", "priced_calls", "priced")),
    *(_real(name) for name in ("reported_cost", "input_tokens", "output_tokens", "cost")),
    *(_real(name) for name in ("ended", "duration_ns", "took_ns")),
    # Of the spans' starts and durations. Where `loose` is 1 they are bounds: the span that had one
    # of them is gone.
    _whole("first_ns", nullable=True),
    _whole("last_ns", nullable=True),
    _real("least_ms"),
    _real("most_ms"),
    _whole("loose"),
    Column("sketch", LargeBinary, nullable=False),  # of the durations in milliseconds
    sqlite_with_rowid=False,
)

# How far `usage_cells` have come, in one row: they sum up every span of an earlier version, as
# version `reader` of the code does it.
usage_cursor = Table(
    "usage_cursor",
    metadata,
    Column("id", BigInteger, primary_key=True),
    _whole("reached"),
    _whole("reader"),
)

# Rows of spans that are summed up and have been replaced or deleted since; triggers put them here.
usage_retired = Table(
    "usage_retired",
    metadata,
    *(_key(name) for name in ("project", "trace_id", "span_id")),
    Column("span_version", BigInteger, primary_key=True),
    *(_text(name) for name in ("parent_id", "name", "kind", "operation")),
    _whole("start_ns"),
    _whole("end_ns", nullable=True),
    _real("duration_ms"),
    *(_text(name) for name in ("status", "agent_name", "agent_version", "provider", "model")),
    _whole("input_tokens", nullable=True),
    _whole("output_tokens", nullable=True),
    _real("cost"),
    _text("source"),
)

# Traces whose user or feature has changed, or that were deleted: what they were when their spans
# were summed up, and how often they have changed since.
usage_moved = Table(
    "usage_moved",
    metadata,
    *(_key(name) for name in ("project", "trace_id")),
    _text("user_id"),
    _text("feature"),
    _whole("times"),
)

# What calls with a request id were answered: see `requests`.
answers = Table(
    "answers",
    metadata,
    *(_key(name) for name in ("project", "method", "request_id")),
    _text("digest"),
    _text("about"),
    _whole("created_ns"),
    Column("answer", LargeBinary, nullable=False),
    Index("answers_created", "created_ns"),
)

words = Table("words", metadata, _key("word"), sqlite_with_rowid=False)

projects = Table(
    "projects",
    metadata,
    _key("name"),
    _whole("created_ns"),
    # For how many days traces are kept: 0 for ever, NULL for as long as the server is told.
    _whole("retention_days", nullable=True),
    # 0 for no limit, NULL for what the settings say.
    *(_whole(name, nullable=True) for name in LIMIT_NAMES),
)

# What is being erased: all that is of a user, or with user "" the whole project. A row is the
# intent; it is deleted when nothing is left. What was written before the version `since` is erased,
# `touched_ns` is when a part of it was last, and `counts` is JSON of how much.
erasures = Table(
    "erasures",
    metadata,
    _key("project"),
    _key("user_id"),
    _whole("since"),
    _whole("touched_ns"),
    _text("counts"),
)

# Which process does the work of a name, and until when no other one may.
leases = Table("leases", metadata, _key("name"), _text("owner"), _whole("lease_ns"))

files = Table(
    "files",
    metadata,
    *(_key(name) for name in ("project", "key")),
    _text("name"),
    _text("content_type"),
    _whole("created_ns"),
    _text("upload"),
    _whole("expires_ns"),
    Column("content", LargeBinary, nullable=False),
    Index("files_upload", "upload"),
)

cursors = Table(
    "cursors",
    metadata,
    _key("name"),
    _whole("position"),
    _text("owner"),
    _whole("lease_ns"),
)

sign_in_links = Table(
    "sign_in_links",
    metadata,
    _key("digest"),
    _text("key_id"),
    _whole("expires_ns"),
)

keys = Table(
    "keys",
    metadata,
    _key("id"),
    _text("project"),
    _text("role"),
    _text("digest"),
    _whole("created_ns"),
    _whole("revoked_ns", nullable=True),
    _text("name"),
    _whole("expires_ns", nullable=True),
    _whole("last_used_ns", nullable=True),
    _text("replaced_by"),
)
