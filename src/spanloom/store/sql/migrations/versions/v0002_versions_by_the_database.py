"""Versions by the database: a counter above every version that clocks gave."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, Text, text

revision = "0002"
down_revision = "0001"

# Every column that holds versions; `patches` and `dataset_rows` call theirs `sequence`.
VERSIONS = [
    ("spans", "version"),
    ("traces", "version"),
    ("feedback", "version"),
    ("prompt_tags", "version"),
    ("evaluators", "version"),
    ("datasets", "version"),
    ("evaluations", "version"),
    ("dataset_rows", "sequence"),
    ("patches", "sequence"),
]
# Versions are handed out in blocks of this size.
BLOCK = 10_000


def upgrade() -> None:
    connection = op.get_bind()
    highest = 0
    for table, column in VERSIONS:
        found = connection.execute(text(f"SELECT max({column}) FROM {table}")).scalar()  # noqa: S608 - names above
        highest = max(highest, found or 0)
    if connection.dialect.name == "postgresql":
        op.execute(f"CREATE SEQUENCE versions INCREMENT BY {BLOCK} START WITH {highest + 1}")
    else:
        op.create_table(
            "sequences",
            Column("name", Text, primary_key=True),
            Column("value", BigInteger, nullable=False),
        )
        op.execute(
            text("INSERT INTO sequences VALUES ('version', :next)").bindparams(next=highest + 1)
        )
