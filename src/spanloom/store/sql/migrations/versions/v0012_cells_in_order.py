"""Sums lie in the order in which they are read: their ids begin with what the index had.

The ids are made by the program, so the sums are made anew (`READER` of the sums has changed)."""

from __future__ import annotations

from alembic import op
from sqlalchemy import column, table

revision = "0012"
down_revision = "0011"


def upgrade() -> None:
    op.drop_index("usage_cells_start", "usage_cells")
    if op.get_bind().dialect.name == "sqlite":
        found = table("sqlite_stat1", column("idx"))
        op.execute(found.delete().where(found.c.idx == "usage_cells_start"))
