"""Projects, which are deleted only when they are empty."""

from __future__ import annotations

from typing import Final

from sqlalchemy import ColumnElement, Connection, Table, and_, delete, or_, select

from spanloom.model.catalog import REDACTION
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
    "runs, datapoints, prices or entries of catalogs": (
        tables.records,
        (tables.records.c.kind != REDACTION,),
    ),
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
    delete_settings(connection, project)
    connection.execute(delete(tables.projects).where(tables.projects.c.name == project))
    return ""


def delete_settings(connection: Connection, project: str) -> None:
    """Delete what is known of a project besides its row and its contents."""
    of_records = tables.records.c
    is_description = and_(
        of_records.project == INSTANCE, of_records.kind == PROJECT, of_records.id == project
    )
    # An empty project may have these, as it may have limits and a retention.
    are_rules = and_(of_records.project == project, of_records.kind == REDACTION)
    connection.execute(delete(tables.records).where(or_(is_description, are_rules)))
