"""All tables that have rows of projects. A test fails if one is missing here."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Connection, Table, delete, select, tuple_

from spanloom.store.sql import tables
from spanloom.store.sql.usage import cells

# What is deleted with a project, in this order, and as what it is counted, "" for not at all.
# Triggers delete the bodies and the event ids of spans.
OF_PROJECT: Final[dict[Table, str]] = {
    tables.spans: "spans",
    tables.traces: "traces",
    tables.patches: "updates",
    tables.feedback: "feedback",
    tables.evaluations: "",
    tables.envelopes: "",
    tables.deleted_spans: "",
    tables.answers: "",
    tables.dataset_rows: "dataset_items",
    tables.datasets: "datasets",
    tables.experiments: "experiments",
    tables.prompt_tags: "",
    tables.prompt_versions: "prompt_versions",
    tables.evaluators: "evaluators",
    tables.records: "records",
    tables.files: "",
    tables.keys: "keys",
}
# Triggers delete these with the spans, or note what is to be deleted of them (ADR 0062).
OF_SPANS: Final = (tables.attachments, tables.attached, tables.released_attachments)
# The follower of the sums takes what it has summed up of deleted spans from the cells.
OF_FOLLOWER: Final = (tables.usage_retired, tables.usage_moved)


def delete_some(connection: Connection, project: str, limit: int) -> tuple[str, int]:
    """Delete rows of the first table that has any; as what they are counted, and how many there
    were."""
    for table, counted in OF_PROJECT.items():
        key = tuple(table.primary_key.columns)
        some = select(*key).where(table.c.project == project).limit(limit)
        gone = delete(table).where(tuple_(*key).in_(some))
        if number := connection.execute(gone).rowcount:
            return counted, number
    return "", 0


def has_notes(connection: Connection, project: str) -> bool:
    """Whether the follower has yet to take something of the project from its sums."""
    return any(
        connection.execute(select(table.c.project).where(table.c.project == project).limit(1))
        .scalars()
        .first()
        is not None
        for table in OF_FOLLOWER
    )


def delete_sums(connection: Connection, project: str) -> None:
    """Delete what is left of a project's sums, which are of no span any more."""
    connection.execute(delete(tables.usage_cells).where(*cells.of_project(project)))
