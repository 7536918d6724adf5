"""Links by which a person signs in once."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, Text

revision = "0016"
down_revision = "0014"

TEXT = Text().with_variant(Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "sign_in_links",
        Column("digest", TEXT, primary_key=True),
        Column("key_id", TEXT, nullable=False),
        Column("expires_ns", BigInteger, nullable=False),
    )
