"""No index entry refuses a long text: PostgreSQL has none of a name, an agent or an experiment of
more than 256 characters."""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

revision = "0010"
down_revision = "0009"

INDEXES = (
    ("spans_name", "spans", ["project", "name", "start_ns", "duration_ms"], "length(name) <= 256"),
    (
        *("spans_agent", "spans", ["project", "agent_name", "start_ns"]),
        "agent_name <> '' AND length(agent_name) <= 256",
    ),
    (
        *("traces_experiment", "traces", ["experiment_id", "project", "start_ns", "trace_id"]),
        "length(experiment_id) <= 256",
    ),
)


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for name, table, columns, short in INDEXES:
        op.drop_index(name, table)
        op.create_index(name, table, columns, postgresql_where=text(short))
