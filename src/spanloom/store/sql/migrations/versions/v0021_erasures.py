"""What is being erased, who does work that one process does at a time, and for how long projects
keep their traces."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, Text

revision = "0021"
down_revision = "0019"

TEXT = Text().with_variant(Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "erasures",
        Column("project", TEXT, primary_key=True),
        Column("user_id", TEXT, primary_key=True),
        *(Column(name, BigInteger, nullable=False) for name in ("since", "touched_ns")),
        Column("counts", TEXT, nullable=False),
    )
    op.create_table(
        "leases",
        Column("name", TEXT, primary_key=True),
        Column("owner", TEXT, nullable=False),
        Column("lease_ns", BigInteger, nullable=False),
    )
    op.add_column("projects", Column("retention_days", BigInteger, nullable=True))
