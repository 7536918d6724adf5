"""Attachments, and the trigger that notes those whose span's row is gone."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, LargeBinary, Text

revision = "0019"
down_revision = "0017"

TEXT = Text().with_variant(Text(collation="C"), "postgresql")

# The notes have no key: two transactions may note one attachment at the same time, and the conflict
# clause of the statement that fires a trigger holds inside it on SQLite.
_RELEASE = """
    INSERT INTO released_attachments (project, digest)
        SELECT project, digest FROM attached WHERE span_version = OLD.span_version;
    DELETE FROM attached WHERE span_version = OLD.span_version;
"""


def upgrade() -> None:
    op.create_table(
        "attachments",
        Column("project", TEXT, primary_key=True),
        Column("digest", LargeBinary, primary_key=True),
        Column("media_type", TEXT, nullable=False),
        Column("content", LargeBinary, nullable=False),
    )
    op.create_table(
        "attached",
        Column("span_version", BigInteger, primary_key=True, autoincrement=False),
        Column("digest", LargeBinary, primary_key=True),
        Column("project", TEXT, nullable=False),
    )
    op.create_index("attached_digest", "attached", ["project", "digest"])
    op.create_table(
        "released_attachments",
        Column("project", TEXT, nullable=False),
        Column("digest", LargeBinary, nullable=False),
    )
    # The first byte of a body that has attachments is 1; long updates may have some, too.
    if op.get_bind().dialect.name == "postgresql":
        op.execute(
            "CREATE FUNCTION release_attachments() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {_RELEASE} RETURN NULL; END $$"
        )
        op.execute(
            "CREATE TRIGGER bodies_deleted AFTER DELETE ON bodies FOR EACH ROW "
            "WHEN (get_byte(OLD.sent, 0) = 1 OR length(OLD.updates) >= 4096) "
            "EXECUTE FUNCTION release_attachments()"
        )
    else:
        op.execute(
            "CREATE TRIGGER bodies_deleted AFTER DELETE ON bodies "
            "WHEN substr(OLD.sent, 1, 1) = x'01' OR length(OLD.updates) >= 4096 "
            f"BEGIN {_RELEASE} END"
        )
