"""Files of datasets."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, LargeBinary, Text

revision = "0024"
down_revision = "0023"

TEXT = Text().with_variant(Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "files",
        Column("project", TEXT, primary_key=True),
        Column("key", TEXT, primary_key=True),
        Column("name", TEXT, nullable=False),
        Column("content_type", TEXT, nullable=False),
        Column("created_ns", BigInteger, nullable=False),
        # Of the upload: the digest of its secret, "" once it has come, and when it expires.
        Column("upload", TEXT, nullable=False),
        Column("expires_ns", BigInteger, nullable=False),
        Column("content", LargeBinary, nullable=False),
    )
    op.create_index("files_upload", "files", ["upload"])
