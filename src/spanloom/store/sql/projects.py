"""Projects, which are deleted only when they are empty."""

from __future__ import annotations

from typing import Final

from sqlalchemy import ColumnElement, Connection, Table, delete, select

from spanloom.model.projects import INSTANCE
from spanloom.store.catalog import PROJECT
from spanloom.store.sql import tables

# What a project may have, by how it is called.
_CONTENTS: Final[dict[str, tuple[Table, tuple[ColumnElement[bool], ...]]]] = {
    "keys that are not revoked": (tables.keys, (tables.keys.c.revoked_ns.is_(None),)),
    "experiments": (tables.experiments, ()),
    "prompts": (tables.prompt_versions, ()),
    "evaluators": (tables.evaluators, ()),
    "datasets": (tables.datasets, ()),
    "runs, datapoints or entries of catalogs": (tables.records, ()),
    "feedback": (tables.feedback, ()),
    "updates of events": (tables.patches, ()),
}


def delete_if_empty(connection: Connection, project: str) -> str | None:
    """As `ControlStore.delete_project`, inside the writer's transaction."""
    known = select(tables.projects.c.name).where(tables.projects.c.name == project)
    if connection.execute(known).first() is None:
        return None
    for name, (table, conditions) in _CONTENTS.items():
        anything = select(table.c.project).where(table.c.project == project, *conditions).limit(1)
        if connection.execute(anything).first() is not None:
            return name
    connection.execute(
        delete(tables.records).where(
            tables.records.c.project == INSTANCE,
            tables.records.c.kind == PROJECT,
            tables.records.c.id == project,
        )
    )
    connection.execute(delete(tables.projects).where(tables.projects.c.name == project))
    return ""
