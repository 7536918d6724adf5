"""The inverted index over spans, and the order in which spans were written."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, Text, column, table

revision = "0005"
down_revision = "0004"

TEXT = Text().with_variant(Text(collation="C"), "postgresql")

# Hyphens and the like part words; "_" and the mark of a hash, which is not ASCII, are parts of one.
SQLITE = """
CREATE VIRTUAL TABLE span_terms USING fts5 (
    terms, content = '', detail = none, columnsize = 0, tokenize = "ascii tokenchars '_'"
)
"""
POSTGRESQL = (
    "CREATE TABLE span_terms (version BIGINT PRIMARY KEY, terms INTEGER[] NOT NULL)",
    "CREATE INDEX span_terms_terms ON span_terms USING gin (terms)",
)


def upgrade() -> None:
    op.create_index("spans_version", "spans", ["version"])
    op.create_table("words", Column("word", TEXT, primary_key=True), sqlite_with_rowid=False)
    cursor = op.create_table(
        "term_cursor",
        Column("id", BigInteger, primary_key=True),
        Column("reached", BigInteger, nullable=False),
        Column("entries", BigInteger, nullable=False),
        Column("owner", TEXT, nullable=False),
        Column("lease_ns", BigInteger, nullable=False),
    )
    op.bulk_insert(cursor, [{"id": 1, "reached": 0, "entries": 0, "owner": "", "lease_ns": 0}])
    if op.get_bind().dialect.name == "postgresql":
        for statement in POSTGRESQL:
            op.execute(statement)
    else:
        op.execute(SQLITE)
        found = table("sqlite_stat1", column("tbl"), column("idx"), column("stat"))
        op.bulk_insert(found, [{"tbl": "spans", "idx": "spans_version", "stat": "1000000 1"}])
