"""Sums over spans, and the triggers that note what has to be taken from them."""

from __future__ import annotations

from alembic import op
from sqlalchemy import BigInteger, Column, Double, LargeBinary, Text, column, table, text

revision = "0006"
down_revision = "0005"

TEXT = Text().with_variant(Text(collation="C"), "postgresql")

DIMENSIONS = ("kind", "name", "provider", "model", "agent_name", "agent_version")
NUMBERS = (
    *("spans", "errors", "traces", "failed_traces", "model_calls", "tool_calls", "invocations"),
    *("priced_calls", "priced", "reported_cost", "input_tokens", "output_tokens", "cost"),
    *("ended", "duration_ns", "took_ns"),
)
RETIRED = (
    *("project", "trace_id", "span_id", "version", "parent_id", "name", "kind", "operation"),
    *("start_ns", "end_ns", "duration_ms", "status", "agent_name", "agent_version", "provider"),
    *("model", "input_tokens", "output_tokens", "cost"),
)
# The conflict clause of the statement that fires a trigger holds inside it, too, on SQLite: hence
# conditions, and no ON CONFLICT. These run before the triggers that delete the row's body, which
# has the adapter.
RETIRE = f"""
INSERT INTO usage_retired SELECT {", ".join("OLD." + name for name in RETIRED)},
    coalesce((SELECT adapter FROM bodies WHERE span_version = OLD.version), '')
WHERE OLD.version < (SELECT reached FROM usage_cursor WHERE id = 1);
"""  # noqa: S608 - names
MOVE = """
UPDATE usage_moved SET times = times + 1 WHERE project = OLD.project AND trace_id = OLD.trace_id;
INSERT INTO usage_moved SELECT OLD.project, OLD.trace_id, OLD.user_id, OLD.feature_slug, 1
WHERE NOT EXISTS (
    SELECT 1 FROM usage_moved WHERE project = OLD.project AND trace_id = OLD.trace_id
);
"""
TRIGGERS = (
    ("usage_replaced", "BEFORE UPDATE OF version ON spans", "", RETIRE),
    ("usage_deleted", "BEFORE DELETE ON spans", "", RETIRE),
    (
        *("traces_moved", "AFTER UPDATE OF user_id, feature_slug ON traces"),
        "WHEN (OLD.user_id <> NEW.user_id OR OLD.feature_slug <> NEW.feature_slug)",
        MOVE,
    ),
    ("traces_deleted", "AFTER DELETE ON traces", "", MOVE),
)


def _text(name: str, *, key: bool = False) -> Column[str]:
    return Column(name, TEXT, primary_key=key, nullable=False)


def _whole(name: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, BigInteger, nullable=nullable)


def upgrade() -> None:
    op.create_table(
        "usage_cells",
        _text("id", key=True),
        _text("project"),
        _text("cuboid"),
        _whole("hours"),
        _whole("start_ns"),
        *(_text(name) for name in (*DIMENSIONS, "user_id", "feature", "source")),
        *(Column(name, Double) for name in NUMBERS),
        _whole("first_ns", nullable=True),
        _whole("last_ns", nullable=True),
        Column("least_ms", Double),
        Column("most_ms", Double),
        _whole("loose"),
        Column("sketch", LargeBinary, nullable=False),
        sqlite_with_rowid=False,
    )
    op.create_index("usage_cells_start", "usage_cells", ["project", "cuboid", "hours", "start_ns"])
    cursor = op.create_table(
        "usage_cursor",
        Column("id", BigInteger, primary_key=True),
        _whole("reached"),
        _whole("reader"),
    )
    op.bulk_insert(cursor, [{"id": 1, "reached": 0, "reader": 0}])
    op.create_table(
        "usage_retired",
        *(_text(name, key=True) for name in ("project", "trace_id", "span_id")),
        Column("span_version", BigInteger, primary_key=True),
        *(_text(name) for name in ("parent_id", "name", "kind", "operation")),
        _whole("start_ns"),
        _whole("end_ns", nullable=True),
        Column("duration_ms", Double),
        *(_text(name) for name in ("status", "agent_name", "agent_version", "provider", "model")),
        _whole("input_tokens", nullable=True),
        _whole("output_tokens", nullable=True),
        Column("cost", Double),
        _text("source"),
    )
    op.create_table(
        "usage_moved",
        *(_text(name, key=True) for name in ("project", "trace_id")),
        _text("user_id"),
        _text("feature"),
        _whole("times"),
    )
    # Sums of agents are not read from it any more.
    some = text("agent_name <> ''")
    op.drop_index("spans_agent", "spans")
    op.create_index(
        "spans_agent",
        "spans",
        ["project", "agent_name", "start_ns"],
        sqlite_where=some,
        postgresql_where=some,
    )
    if _is_postgresql():
        _create_on_postgresql()
        return
    for name, event, when, body in TRIGGERS:
        op.execute(f"CREATE TRIGGER {name} {event} {when} BEGIN {body} END")
    found = table("sqlite_stat1", column("tbl"), column("idx"), column("stat"))
    op.execute(found.delete().where(found.c.idx == "spans_agent"))
    stats = (
        ("usage_cells", "usage_cells_start", "500000 100000 20000 9000 20"),
        ("spans", "spans_agent", "300000 30000 3000 1"),
    )
    keys = found.columns.keys()
    op.bulk_insert(found, [dict(zip(keys, row, strict=True)) for row in stats])


def _create_on_postgresql() -> None:
    for name, body in (("retire_span", RETIRE), ("move_trace", MOVE)):
        op.execute(
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS "
            f"$$ BEGIN {body} RETURN coalesce(NEW, OLD); END $$"
        )
    for name, event, when, body in TRIGGERS:
        function = "retire_span" if body is RETIRE else "move_trace"
        op.execute(
            f"CREATE TRIGGER {name} {event} FOR EACH ROW {when} EXECUTE FUNCTION {function}()"
        )


def _is_postgresql() -> bool:
    return op.get_bind().dialect.name == "postgresql"
