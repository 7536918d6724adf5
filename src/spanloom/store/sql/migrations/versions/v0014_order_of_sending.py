"""The order in which spans were sent, for those that start at one time."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, text

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    sequence = Column("sequence", BigInteger, nullable=False, server_default=text("0"))
    op.add_column("spans", sequence)
