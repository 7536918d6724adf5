"""The first tables: spans, traces, feedback, what evaluation, prompts and datasets keep, patches, projects, keys."""

from __future__ import annotations

from typing import Any

from alembic import op
from sqlalchemy import BigInteger, Column, Double, Text, column, table, text

revision = "0001"
down_revision = None

TEXT = Text().with_variant(Text(collation="C"), "postgresql")

# A body past 2 kB is compressed by lz4 where the server was built with it. pglz, the default, halves the rate of ingest:
# a server that has nothing else stores bodies as they are.
BODY_STORAGE = """
DO $$ BEGIN
  IF EXISTS (SELECT FROM pg_settings WHERE name = 'default_toast_compression' AND 'lz4' = ANY (enumvals)) THEN
    ALTER TABLE spans ALTER COLUMN body SET COMPRESSION lz4;
  ELSE
    ALTER TABLE spans ALTER COLUMN body SET STORAGE EXTERNAL;
  END IF;
END $$
"""

# Where nobody runs ANALYZE, SQLite takes all indexes for alike, and would read a trace by going through its whole project
# in the order of the result. So it is told how many rows a key of each index finds, about: one number a column. `noskipscan`: the
# index is for those who give its first column, and not to be gone through for each value of it.
FOUND_BY_INDEX = [
    ("spans", "sqlite_autoindex_spans_1", "1000000 100000 20 1"),
    ("spans", "spans_event", "1000000 100000 1"),
    ("spans", "spans_session", "1000000 100000 40 1"),
    ("spans", "spans_start", "1000000 100000 1"),
    ("spans", "spans_kind", "1000000 100000 30000 1"),
    ("spans", "spans_agent", "300000 30000 3000 1"),
    ("traces", "sqlite_autoindex_traces_1", "100000 10000 1"),
    ("traces", "traces_start", "100000 10000 1 1"),
    ("traces", "traces_experiment", "100000 200 200 1 1 noskipscan"),
    ("feedback", "sqlite_autoindex_feedback_1", "100000 10000 1"),
    ("feedback", "feedback_target", "100000 10000 3000 2"),
    ("feedback", "feedback_trace", "100000 3 3 noskipscan"),
]


def upgrade() -> None:
    op.create_table(
        "spans",
        *_columns("project trace_id span_id", TEXT, primary_key=True),
        *_columns("version", BigInteger),
        *_columns("event_id session_id parent_id name kind operation", TEXT),
        *_columns("start_ns", BigInteger),
        *_columns("end_ns", BigInteger, nullable=True),
        *_columns("duration_ms", Double, nullable=True),
        *_columns("status agent_name provider model", TEXT),
        *_columns("input_tokens output_tokens", BigInteger, nullable=True),
        *_columns("cost", Double, nullable=True),
        *_columns("body", TEXT),
    )
    op.create_index("spans_event", "spans", ["project", "event_id"])
    op.create_index("spans_session", "spans", ["project", "session_id", "start_ns"])
    op.create_index("spans_start", "spans", ["project", "start_ns"])
    op.create_index("spans_kind", "spans", ["project", "kind", "start_ns"])
    op.create_index(
        "spans_agent",
        "spans",
        ["project", "agent_name", "start_ns"],
        sqlite_where=text("agent_name <> ''"),
        postgresql_where=text("agent_name <> ''"),
    )

    op.create_table(
        "traces",
        *_columns("project trace_id", TEXT, primary_key=True),
        *_columns("version", BigInteger),
        *_columns("name feature_slug", TEXT),
        *_columns("start_ns", BigInteger),
        *_columns("end_ns", BigInteger, nullable=True),
        *_columns("status session_id user_id organization_id experiment_id", TEXT),
        *_columns("sampled", BigInteger, nullable=True),
    )
    op.create_index("traces_start", "traces", ["project", "start_ns", "trace_id"])
    op.create_index(
        "traces_experiment", "traces", ["experiment_id", "project", "start_ns", "trace_id"]
    )

    op.create_table(
        "feedback",
        *_columns("project id", TEXT, primary_key=True),
        *_columns("version", BigInteger),
        *_columns("target target_id trace_id ref type creator", TEXT),
        *_columns("created_ns", BigInteger),
        *_columns("body", TEXT),
    )
    op.create_index("feedback_target", "feedback", ["project", "target", "target_id"])
    op.create_index("feedback_trace", "feedback", ["trace_id", "project"])

    op.create_table(
        "experiments",
        *_columns("project id", TEXT, primary_key=True),
        *_columns("name feature_slug", TEXT),
        *_columns("created_ns", BigInteger),
    )
    op.create_index("experiments_created", "experiments", ["project", "created_ns", "id"])

    op.create_table(
        "prompt_versions",
        *_columns("project slug prompt_version", TEXT, primary_key=True),
        *_columns("name description feature_slug", TEXT),
        *_columns("created_ns", BigInteger),
        *_columns("body", TEXT),
    )
    op.create_table(
        "prompt_tags",
        *_columns("project slug label", TEXT, primary_key=True),
        *_columns("version", BigInteger),
        *_columns("prompt_version", TEXT),
    )

    op.create_table(
        "evaluators",
        *_columns("project slug", TEXT, primary_key=True),
        *_columns("version", BigInteger),
        *_columns("kind", TEXT),
        *_columns("created_ns", BigInteger),
        *_columns("body", TEXT),
    )
    op.create_table(
        "datasets",
        *_columns("project slug", TEXT, primary_key=True),
        *_columns("version", BigInteger),
        *_columns("name body", TEXT),
    )
    op.create_table(
        "dataset_rows",
        *_columns("project slug id", TEXT, primary_key=True),
        *_columns("sequence", BigInteger),
        *_columns("body", TEXT),
    )
    op.create_table(
        "evaluations",
        *_columns("project trace_id span_id evaluator", TEXT, primary_key=True),
        *_columns("version", BigInteger),
        *_columns("owner", TEXT),
        *_columns("due_ns attempts", BigInteger),
    )
    op.create_index("evaluations_due", "evaluations", ["due_ns"])
    op.create_index("evaluations_evaluator", "evaluations", ["project", "evaluator"])

    op.create_table(
        "patches",
        *_columns("project event_id id", TEXT, primary_key=True),
        *_columns("sequence", BigInteger),
        *_columns("body", TEXT),
    )

    op.create_table(
        "projects", *_columns("name", TEXT, primary_key=True), *_columns("created_ns", BigInteger)
    )
    op.create_table(
        "keys",
        *_columns("id", TEXT, primary_key=True),
        *_columns("project role digest", TEXT),
        *_columns("created_ns", BigInteger),
        *_columns("revoked_ns", BigInteger, nullable=True),
    )

    if op.get_bind().dialect.name == "postgresql":
        op.execute(BODY_STORAGE)
    else:
        op.execute("ANALYZE")  # makes the table
        found = table("sqlite_stat1", column("tbl"), column("idx"), column("stat"))
        names = found.columns.keys()
        op.bulk_insert(found, [dict(zip(names, row, strict=True)) for row in FOUND_BY_INDEX])


def _columns(names: str, kind: Any, *, primary_key: bool = False, nullable: bool = False) -> Any:
    return [
        Column(name, kind, primary_key=primary_key, nullable=nullable) for name in names.split()
    ]
