"""Which rows are those of a user. All of this reads, outside the writers' lock."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import orjson
from sqlalchemy import Connection, select

from spanloom.model.catalog import DATAPOINT
from spanloom.model.users import carries, named_users, spans_of_user
from spanloom.store.sql import queries
from spanloom.store.sql.database import Database
from spanloom.store.sql.index.look import for_text
from spanloom.store.sql.index.search import Watch, spans_in_order
from spanloom.store.sql.index.sieve import Sieve, text_conditions
from spanloom.store.sql.reading import SpanReader
from spanloom.store.sql.tables import dataset_rows, patches, records, spans, traces

# The parts of an update that say who the user is.
_OF_USER = ("user_properties", "user")


class Rows(NamedTuple):
    """Rows that name a user, as (key, sequence or version) of each."""

    updates: list[tuple[Any, ...]]
    dataset_rows: list[tuple[Any, ...]]
    datapoints: list[tuple[Any, ...]]


class UserReads:
    """Finds what is of one user of a project.

    Args:
        erased: The traces from which spans of the user were deleted already. What comes to them
            later and names nobody is the user's, too.
    """

    def __init__(
        self, database: Database, reader: SpanReader, project: str, user_id: str, erased: set[str]
    ) -> None:
        self._database = database
        self._reader = reader
        self._project = project
        self._user_id = user_id
        self._erased = erased
        self._in_json = orjson.dumps(user_id)[1:-1].decode()

    def traces(self, since: int | None, connection: Connection, watch: Watch) -> set[str]:
        """The ids of the traces that may have spans of the user.

        Args:
            since: Only spans with this version or a later one are looked at; None for all.
        """
        of_user = traces.c.user_id == self._user_id
        by_row = select(traces.c.trace_id).where(traces.c.project == self._project, of_user)
        found = set(connection.execute(by_row).scalars())
        everything = queries.find_events([], self._project)
        if since is not None:
            everything = everything.where(spans.c.version >= since)
        sieve = self._sieve(connection)
        for span in spans_in_order(
            *(connection, self._database, self._reader, everything),
            *(queries.NEWEST_EVENTS, sieve, watch),
        ):
            if self._user_id in named_users(span):
                found.add(span.trace_id)
        if since is not None and self._erased:
            again = select(spans.c.trace_id).where(
                spans.c.project == self._project,
                self._database.among(spans.c.trace_id, self._erased),
            )
            found.update(connection.execute(again.distinct()).scalars())
        return found

    def _sieve(self, connection: Connection) -> Sieve:
        # A number may have been sent as such, and the index of words has no numbers.
        if self._user_id.isdecimal():
            return Sieve(connection, self._database, self._project, [])
        # A user id is a whole value, so the words at its edges are whole words.
        conditions = text_conditions(connection, f" {self._user_id} ")
        look = for_text(self._database, self._user_id)
        return Sieve(connection, self._database, self._project, conditions, [look] if look else [])

    def versions(self, trace_id: str, connection: Connection) -> list[int]:
        """The versions of those spans of a trace that belong to the user."""
        key = {"project": self._project, "trace_id": trace_id}
        found = [self._reader.shown(row) for row in connection.execute(queries.TRACE_SPANS, key)]
        of_row = select(traces.c.user_id).where(
            traces.c.project == self._project, traces.c.trace_id == trace_id
        )
        trace_user = connection.execute(of_row).scalar() or ""
        if not trace_user and trace_id in self._erased:
            trace_user = self._user_id
        return [span.version for span in spans_of_user(found, self._user_id, trace_user)]

    def rows(self, connection: Connection) -> Rows:
        """The updates, the items of datasets and the datapoints that name the user."""
        updates = self._naming(connection, patches, (patches.c.event_id, patches.c.id), "sequence")
        items = self._naming(
            connection, dataset_rows, (dataset_rows.c.slug, dataset_rows.c.id), "sequence"
        )
        datapoints = self._naming(
            *(connection, records, (records.c.kind, records.c.id), "version"),
            records.c.kind == DATAPOINT,
        )
        return Rows(updates, items, datapoints)

    def _naming(
        self, connection: Connection, table: Any, key: tuple[Any, ...], order: str, *which: Any
    ) -> list[tuple[Any, ...]]:
        may_name = self._database.contains(table.c.body, self._in_json)
        query = select(*key, table.c[order], table.c.body).where(
            table.c.project == self._project, may_name, *which
        )
        found = []
        for *of_row, body in connection.execute(query):
            told = orjson.loads(body)
            if table is patches:
                told = {name: told.get(name) for name in _OF_USER}
            if carries(told, self._user_id):
                found.append(tuple(of_row))
        return found


def datapoints_of(connection: Connection, database: Database, project: str) -> dict[str, list[str]]:
    """The ids of a project's datapoints, by the event that each was made of."""
    event = database.json(records.c.body, ["linked_event"]).text
    query = select(event, records.c.id).where(
        records.c.project == project, records.c.kind == DATAPOINT, event.is_not(None)
    )
    found: dict[str, list[str]] = {}
    for event_id, record_id in connection.execute(query):
        found.setdefault(event_id, []).append(record_id)
    return found


def among_events(links: Mapping[str, list[str]], event_ids: Collection[str]) -> list[str]:
    """The datapoints that were made of some events."""
    return [one for event_id in event_ids for one in links.get(event_id, ())]
