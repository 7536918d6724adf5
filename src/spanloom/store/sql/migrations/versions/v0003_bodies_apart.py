"""Bodies apart from columns, the first half: the tables that they are moved to.

`move_bodies` moves them in transactions of its own, before the next step.
"""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, Integer, LargeBinary, Text

revision = "0003"
down_revision = "0002"

TEXT = Text().with_variant(Text(collation="C"), "postgresql")
ROW_ID = BigInteger().with_variant(Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "bodies",
        Column("span_version", ROW_ID, primary_key=True, autoincrement=False),
        Column("adapter", TEXT, nullable=False),
        Column("sent", LargeBinary, nullable=False),
        Column("envelope", LargeBinary, nullable=True),
        Column("updates", TEXT, nullable=True),
    )
    op.create_table(
        "envelopes",
        Column("project", TEXT, primary_key=True),
        Column("digest", LargeBinary, primary_key=True),
        Column("content", LargeBinary, nullable=False),
    )
    op.add_column("spans", Column("agent_version", TEXT, nullable=False, server_default=""))
    op.add_column("spans", Column("reader", BigInteger, nullable=False, server_default="0"))
    if op.get_bind().dialect.name == "postgresql":
        # It is compressed already.
        op.execute("ALTER TABLE bodies ALTER COLUMN sent SET STORAGE EXTERNAL")
