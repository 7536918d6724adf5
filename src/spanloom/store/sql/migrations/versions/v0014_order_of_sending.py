"""The order in which spans were sent, for those that start at one time; and objects that the store
only keeps."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, Text, text

revision = "0014"
down_revision = "0013"


TEXT = Text().with_variant(Text(collation="C"), "postgresql")


def upgrade() -> None:
    sequence = Column("sequence", BigInteger, nullable=False, server_default=text("0"))
    op.add_column("spans", sequence)
    op.create_table(
        "records",
        *(Column(name, TEXT, primary_key=True) for name in ("project", "kind", "id")),
        *(Column(name, BigInteger, nullable=False) for name in ("version", "created_ns")),
        Column("body", TEXT, nullable=False),
    )
    op.create_index("records_created", "records", ["project", "kind", "created_ns", "id"])
