"""The spans that were deleted last, in the log of changes."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, Text

revision = "0009"
down_revision = "0008"

TEXT = Text().with_variant(Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "deleted_spans",
        Column("project", TEXT, primary_key=True),
        Column("trace_id", TEXT, primary_key=True),
        Column("span_id", TEXT, primary_key=True),
        Column("version", BigInteger, nullable=False),
        Column("deleted_ns", BigInteger, nullable=False),
    )
    op.create_index("deleted_spans_version", "deleted_spans", ["version"])
    op.create_index("deleted_spans_time", "deleted_spans", ["deleted_ns"])
