"""Bodies apart from columns, the second half: rows of spans are columns alone, and more questions
are answered from an index."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, Text, column, table, text

revision = "0004"
down_revision = "0003"

# As in the first step: what SQLite is told of each index.
FOUND_BY_INDEX = [
    ("spans", "spans_start", "1000000 100000 1 1"),
    ("spans", "spans_name", "1000000 100000 3000 1 1"),
    ("spans", "spans_model", "1000000 100000 10000 1"),
    ("spans", "spans_apart", "10000 1000 500"),
    ("spans", "spans_agent", "300000 30000 3000 1 1 1 1 1 1 1 1"),
]
# The ids of events and the versions of their spans: the recent ones, and those that were moved.
EVENT_IDS = ("recent_event_ids", "event_ids")
# A row of spans has a body of its own: what replaces or deletes the row deletes the body.
_GONE = """
    DELETE FROM bodies WHERE span_version = OLD.version;
    DELETE FROM recent_event_ids WHERE event_id = OLD.event_id AND version = OLD.version;
    DELETE FROM event_ids WHERE event_id = OLD.event_id AND version = OLD.version;
"""
_COME = "INSERT INTO recent_event_ids VALUES (NEW.event_id, NEW.version);"
SQLITE_TRIGGERS = [
    f"CREATE TRIGGER {name} AFTER {event} ON spans BEGIN {what} END"
    for name, event, what in (
        ("spans_written", "INSERT", _COME),
        ("spans_replaced", "UPDATE OF version", f"{_GONE} {_COME}"),
        ("spans_deleted", "DELETE", _GONE),
    )
]
POSTGRESQL_TRIGGERS = [
    """
CREATE FUNCTION delete_body() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN DELETE FROM bodies WHERE span_version = OLD.version; RETURN NULL; END $$
""",
    "CREATE TRIGGER spans_replaced AFTER UPDATE OF version ON spans "
    "FOR EACH ROW EXECUTE FUNCTION delete_body()",
    "CREATE TRIGGER spans_deleted AFTER DELETE ON spans "
    "FOR EACH ROW EXECUTE FUNCTION delete_body()",
]


def upgrade() -> None:
    for name in ("spans_start", "spans_agent"):
        op.drop_index(name, "spans")
    op.drop_column("spans", "body")
    op.create_index("spans_start", "spans", ["project", "start_ns", "duration_ms"])
    # Nobody knows it of earlier rows: all bits.
    op.add_column("spans", Column("apart", BigInteger, nullable=False, server_default="127"))
    op.create_index(
        "spans_model",
        "spans",
        ["project", "model", "start_ns"],
        postgresql_where=text("length(model) <= 256"),
    )
    some = text("apart <> 0")
    op.create_index(
        "spans_apart", "spans", ["project", "apart"], sqlite_where=some, postgresql_where=some
    )
    op.create_index("spans_name", "spans", ["project", "name", "start_ns", "duration_ms"])
    op.create_index(
        "spans_agent",
        "spans",
        [
            *("project", "agent_name", "start_ns", "agent_version", "operation", "status"),
            *("end_ns", "input_tokens", "output_tokens", "cost"),
        ],
        sqlite_where=text("agent_name <> ''"),
        postgresql_where=text("agent_name <> ''"),
    )
    if op.get_bind().dialect.name == "postgresql":
        for statement in POSTGRESQL_TRIGGERS:
            op.execute(statement)
        return
    op.drop_index("spans_event", "spans")
    for name in EVENT_IDS:
        op.create_table(
            name,
            Column("event_id", Text, primary_key=True),
            Column("version", BigInteger, primary_key=True),
            sqlite_with_rowid=False,
        )
    # In the order of the ids, so that the table is written from its beginning to its end.
    op.execute("INSERT INTO event_ids SELECT event_id, version FROM spans ORDER BY 1, 2")
    for statement in SQLITE_TRIGGERS:
        op.execute(statement)
    names = ["spans_event", *(name for _, name, _ in FOUND_BY_INDEX)]
    found = table("sqlite_stat1", column("tbl"), column("idx"), column("stat"))
    op.execute(found.delete().where(found.c.idx.in_(names)))
    keys = found.columns.keys()
    op.bulk_insert(found, [dict(zip(keys, row, strict=True)) for row in FOUND_BY_INDEX])
