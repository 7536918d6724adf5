"""Names and times of expiry of keys."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, Text

revision = "0017"
down_revision = "0016"

TEXT = Text().with_variant(Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.add_column("keys", Column("name", TEXT, nullable=False, server_default=""))
    op.add_column("keys", Column("expires_ns", BigInteger, nullable=True))
