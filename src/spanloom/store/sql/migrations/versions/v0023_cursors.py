"""How far each program that reads the log of changes has come, such as the one that forwards."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, Text

revision = "0023"
down_revision = "0021"

TEXT = Text().with_variant(Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "cursors",
        Column("name", TEXT, primary_key=True),
        Column("position", BigInteger, nullable=False),
        Column("owner", TEXT, nullable=False),
        Column("lease_ns", BigInteger, nullable=False),
    )
