"""The answers to calls with a request id, which their repeats get."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, LargeBinary, Text

revision = "0013"
down_revision = "0012"

TEXT = Text().with_variant(Text(collation="C"), "postgresql")


def upgrade() -> None:
    op.create_table(
        "answers",
        *(
            Column(name, TEXT, primary_key=True, nullable=False)
            for name in ("project", "method", "request_id")
        ),
        Column("digest", TEXT, nullable=False),
        Column("about", TEXT, nullable=False),
        Column("created_ns", BigInteger, nullable=False),
        Column("answer", LargeBinary, nullable=False),
    )
    op.create_index("answers_created", "answers", ["created_ns"])
