"""What is still due once events are committed: patches that wait for them, and older spans of events that were created again.

The look for it comes after the commit, so that of two writers at once the later one sees both (`spanloom.store.sql.patches`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from spanloom.store.sql import patches, queries
from spanloom.store.sql.dialect import Database


class Written(NamedTuple):
    """The events that one call wrote; `created` by the events API, where an id is one event in all traces."""

    project: str
    event_ids: frozenset[str]
    created: bool = False


class Due(NamedTuple):
    """Of one call's events those that have patches, and those that stand in several spans."""

    patched: frozenset[str]
    repeated: frozenset[str]


def due(database: Database, connection: Connection, calls: Sequence[Written]) -> list[Due]:
    """What is due of each call: one look for all of a project, since each costs more than what it looks at."""
    patched: dict[str, frozenset[str]] = {}
    repeated: dict[str, frozenset[str]] = {}
    for project in {call.project for call in calls}:
        ids = [i for call in calls if call.project == project for i in call.event_ids]
        patched[project] = frozenset(patches.any_of(database, connection, project, ids))
        created = [
            i for call in calls if call.created and call.project == project for i in call.event_ids
        ]
        again = queries.repeated_events(database, project, created)
        repeated[project] = (
            frozenset(connection.execute(again).scalars()) if created else frozenset()
        )
    return [
        Due(
            call.event_ids & patched[call.project],
            call.event_ids & repeated[call.project] if call.created else frozenset(),
        )
        for call in calls
    ]
