"""Views for people who read the database with SQL."""

from __future__ import annotations

from alembic import op
from sqlalchemy import text

revision = "0007"
down_revision = "0006"

_COLUMNS = """
project, trace_id, span_id, parent_id, event_id, session_id, name, kind, operation, {start}
AS start_time, {end} AS end_time, start_ns, end_ns, duration_ms, status, agent_name, agent_version,
provider, model, input_tokens, output_tokens, cost, version
"""
_TIMES = {
    "sqlite": (
        "strftime('%Y-%m-%dT%H:%M:%S', {0} / 1000000000, 'unixepoch')"
        " || printf('.%09dZ', {0} % 1000000000)"
    ),
    "postgresql": (
        "to_timestamp({0} / 1000000000) + {0} % 1000000000 / 1000 * interval '1 microsecond'"
    ),
}


def upgrade() -> None:
    time = _TIMES[op.get_bind().dialect.name]
    columns = _COLUMNS.format(start=time.format("start_ns"), end=time.format("end_ns"))
    op.execute(text(f"CREATE VIEW v_spans AS SELECT {columns} FROM spans".replace(":", "\\:")))  # noqa: S608
