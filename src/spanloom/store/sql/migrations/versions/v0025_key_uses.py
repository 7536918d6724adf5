"""When a key was used last, and the key that replaces it."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, Text

revision = "0025"
down_revision = "0024"

TEXT = Text().with_variant(Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("keys", Column("last_used_ns", BigInteger, nullable=True))
    op.add_column("keys", Column("replaced_by", TEXT, nullable=False, server_default=""))
