"""Bodies of spans out of the table `spans`, between the steps 0003 and 0004: in batches, each a
transaction, so that a migration which is interrupted continues where it was."""

from __future__ import annotations

import logging
from typing import Any

import orjson
from sqlalchemy import (
    Connection,
    Engine,
    bindparam,
    column,
    insert,
    select,
    table,
    text,
    tuple_,
    update,
)

from spanloom.store.sql.compression import compressed
from spanloom.store.sql.database import Database
from spanloom.store.sql.tables import bodies

log = logging.getLogger("spanloom.store")

# The table as it is between the two steps.
_KEY = ("project", "trace_id", "span_id")
_spans: Any = table("spans", *map(column, (*_KEY, "version", "body", "agent_version")))
# What is moved already has no body here.
_LEFT = _spans.c.body != ""
_CHANGE = (
    update(_spans)
    .where(*(_spans.c[name] == bindparam(f"of_{name}") for name in _KEY))
    .values(body="", version=bindparam("new_version"), agent_version=bindparam("told"))
)
STEP = "0003"
_STEP = text("SELECT version_num FROM alembic_version")
_BATCH = 500
_BATCHES_A_LINE = 100


def move_bodies(database: Database, engine: Engine) -> None:
    """Move what is left, and report the progress in the log. Several processes may do so at
    once."""
    after: tuple[str, ...] | None = None
    moved = batches = 0
    while True:
        with engine.begin() as connection:
            database.lock_schema(connection)
            # Another process may have finished.
            rows = _next(connection, after) if connection.execute(_STEP).scalar() == STEP else []
            if rows:
                _move(connection, database, rows)
        moved += len(rows)
        batches += 1
        if moved and (len(rows) < _BATCH or batches % _BATCHES_A_LINE == 0):
            log.info("the bodies of %d spans were moved", moved)
        if len(rows) < _BATCH:
            return
        after = tuple(getattr(rows[-1], name) for name in _KEY)


def _next(connection: Connection, after: tuple[str, ...] | None) -> list[Any]:
    key = tuple_(*(_spans.c[name] for name in _KEY))
    query = select(_spans).where(_LEFT).order_by(*(_spans.c[name] for name in _KEY)).limit(_BATCH)
    if after is not None:
        query = query.where(key > tuple_(*after))
    return list(connection.execute(query))


def _move(connection: Connection, database: Database, rows: list[Any]) -> None:
    versions = [row.version for row in rows]
    # Clocks gave versions once, so two rows may have the same.
    among = select(bodies.c.span_version).where(bodies.c.span_version.in_(versions))
    taken = set(connection.execute(among).scalars())
    new: list[dict[str, Any]] = []
    changes: list[dict[str, Any]] = []
    frames = compressed([row.body.encode() for row in rows])
    for row, frame in zip(rows, frames, strict=True):
        version = row.version
        if version in taken:
            version = database.next_versions(connection)
        taken.add(version)
        new.append({"span_version": version, "adapter": "", "sent": frame})
        keys = {f"of_{name}": getattr(row, name) for name in _KEY}
        changes.append({**keys, "new_version": version, "told": _agent_version(row.body)})
    connection.execute(insert(bodies), new)
    connection.execute(_CHANGE, changes)


def _agent_version(body: str) -> str:
    if '"version"' not in body:
        return ""
    told = orjson.loads(body)
    # Bodies of earlier versions hold it at the top.
    for holder in (told.get("genai") or {}, told):
        agent = holder.get("agent")
        version = agent.get("version") if isinstance(agent, dict) else None
        if isinstance(version, str) and version and "\0" not in version:
            return version
    return ""
