"""Updates of spans that are named by their trace, beside those of events."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, Text, text

revision = "0008"
down_revision = "0007"

TEXT = Text().with_variant(Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("patches", Column("trace_id", TEXT, nullable=False, server_default=""))
    of_spans = text("trace_id <> ''")
    op.create_index(
        "patches_trace",
        "patches",
        ["project", "trace_id"],
        sqlite_where=of_spans,
        postgresql_where=of_spans,
    )
