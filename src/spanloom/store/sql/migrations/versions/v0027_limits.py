"""The limits of projects."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column

revision = "0027"
down_revision = "0025"


def upgrade() -> None:
    for name in ("requests_per_second", "bytes_per_second", "spans_per_second", "stored_spans"):
        op.add_column("projects", Column(name, BigInteger, nullable=True))
