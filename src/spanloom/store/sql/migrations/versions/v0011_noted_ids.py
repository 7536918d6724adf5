"""On SQLite the writer notes the ids of events by a statement of its own. A trigger noted each by
itself, and had SQLite keep the rows of each INSERT in a temporary table first."""

from __future__ import annotations

from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        return
    for name in ("spans_written", "spans_replaced"):
        op.execute(f"DROP TRIGGER {name}")
    op.execute("""
CREATE TRIGGER spans_replaced AFTER UPDATE OF version ON spans BEGIN
    DELETE FROM bodies WHERE span_version = OLD.version;
    DELETE FROM recent_event_ids WHERE event_id = OLD.event_id AND version = OLD.version;
    DELETE FROM event_ids WHERE event_id = OLD.event_id AND version = OLD.version;
END
""")
