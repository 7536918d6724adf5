"""`ControlStore` on a relational database."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy import Connection

from spanloom import errors
from spanloom.model import EVALUATION, Feedback, FeedbackQuery, Json, Key, Page
from spanloom.model.patch import APPENDED, Patch
from spanloom.store.control import ControlStore
from spanloom.store.sql import patches, queries, reviews, rows, tables
from spanloom.store.sql.catalog import SqlCatalog
from spanloom.store.sql.connections import Connections
from spanloom.store.sql.database import Row
from spanloom.store.sql.datasets import SqlDatasets
from spanloom.store.sql.evaluation_queue import SqlEvaluationQueue
from spanloom.store.sql.records import SqlRecords
from spanloom.store.sql.rows import checked
from spanloom.store.sql.transaction import Transaction


class SqlControl(ControlStore):
    """Keys, projects, updates, feedback and the rest in SQLite or PostgreSQL."""

    def __init__(self, connections: Connections) -> None:
        self._database = connections.database
        self._read, self._write = connections.read, connections.write
        # Those that this process knows to exist: projects are never deleted.
        self._projects: set[str] = set()
        self.catalog = SqlCatalog(connections)
        self.datasets = SqlDatasets(connections)
        self.records = SqlRecords(connections)
        self.evaluations = SqlEvaluationQueue(connections)

    # Updates of events

    async def patch_event(
        self, project: str, event_id: str, patch: Patch, *, trace_id: str = ""
    ) -> None:
        row = rows.patch_row(project, event_id, patch, trace_id)
        await self._write(
            lambda t: patches.update_event(t, project, event_id, patch, trace_id), size=len(row[4])
        )

    async def patch_span(
        self, project: str, trace_id: str, span_id: str, patch: Patch, *, only_of: str = ""
    ) -> None:
        whole = {**patch, "adapter": only_of} if only_of else patch
        row = rows.patch_row(project, span_id, whole, trace_id)
        key = {"project": project, "trace_id": trace_id, "span_id": span_id}

        def write(transaction: Transaction) -> errors.SpanloomError | None:
            if only_of:
                found = transaction.connection.execute(queries.SPAN, key).first()
                if found is not None and found.adapter != only_of:
                    return errors.written_by_another_api(["span"])
            transaction.write({tables.patches: [row]})
            return None

        await self._write(write, size=len(row[4]))

    async def append_to_spans(
        self,
        project: str,
        adapter: str,
        pieces: Mapping[tuple[str, str], Mapping[str, tuple[int, bytes]]],
    ) -> None:
        made: list[Row] = []
        for (trace_id, span_id), of_span in pieces.items():
            told: dict[str, Json] = {
                digest: [time_ns, base64.b64encode(piece).decode()]
                for digest, (time_ns, piece) in of_span.items()
            }
            patch = {APPENDED: told, "adapter": adapter}
            made.append(rows.patch_row(project, span_id, patch, trace_id))
        size = sum(len(row[4]) for row in made)
        await self._write(
            lambda t: t.write({tables.patches: made}), rows=max(1, len(made)), size=size
        )

    async def event_patch(self, project: str, event_id: str) -> Patch:
        checked(project=project, event_id=event_id)
        return await self._read(lambda c: patches.of_event(c, project, event_id))

    # Feedback

    async def write_feedback(self, project: str, *feedback: Feedback) -> None:
        made = [rows.feedback_row(project, one) for one in feedback]
        size = sum(len(row[-1]) for row in made)
        await self._write(lambda t: t.write({tables.feedback: made}), rows=len(made), size=size)

    async def feedback_on(self, project: str, targets: Sequence[tuple[str, str]]) -> list[Feedback]:
        checked(project=project)
        for target, target_id in targets:
            checked(target=target, target_id=target_id)
        query = queries.feedback_on(self._database, project, targets)
        return await self._read(lambda c: [rows.to_feedback(row) for row in c.execute(query)])

    async def find_feedback(
        self, project: str, *, ref: str = "", type: str = "", limit: int, offset: int = 0
    ) -> Page[Feedback]:
        checked(project=project, ref=ref, type=type)
        found = queries.find_feedback(project, ref=ref, type=type)

        def run(connection: Connection) -> Page[Feedback]:
            page, total = queries.page(connection, found, limit=limit, offset=offset)
            return Page([rows.to_feedback(row) for row in page], total)

        return await self._read(run)

    async def replace_feedback(self, project: str, feedback: Feedback) -> Feedback:
        row = rows.feedback_row(project, feedback)
        found = reviews.one(project, feedback.id)

        def write(transaction: Transaction) -> Feedback | errors.SpanloomError:
            stored = feedback
            if earlier := transaction.connection.execute(found).first():
                if earlier.type == EVALUATION:
                    return errors.invalid_field("id", "is the id of an evaluator's result")
                stored = replace(feedback, created_ns=earlier.created_ns)
            made = row if stored is feedback else rows.feedback_row(project, stored)
            transaction.write({tables.feedback: [made]})
            return stored

        stored: Feedback = await self._write(write, size=len(row[-1]))
        return stored

    async def list_feedback(
        self,
        project: str,
        query: FeedbackQuery,
        *,
        limit: int,
        after: tuple[int, str] | None = None,
    ) -> list[Feedback]:
        checked(project=project)
        texts = (*query.trace_ids, query.span_id, query.conversation_id, query.name, query.creator)
        if not all(rows.storable(text) for text in texts):
            return []
        found = reviews.listed(self._database, project, query, after).limit(limit)
        return await self._read(lambda c: [rows.to_feedback(row) for row in c.execute(found)])

    async def delete_feedback(self, project: str, feedback_id: str) -> bool:
        checked(project=project, id=feedback_id)
        statement = reviews.removed(project, feedback_id)

        def write(transaction: Transaction) -> int:
            return transaction.connection.execute(statement).rowcount

        return bool(await self._write(write))

    # Projects and keys

    async def list_projects(
        self, *, name: str = "", after: str = "", limit: int
    ) -> list[tuple[str, int]]:
        checked(project=name)
        checked(project=after)
        found = queries.projects(name, after).limit(limit)
        return await self._read(lambda c: [(row.name, row.created_ns) for row in c.execute(found)])

    async def ensure_project(self, name: str) -> None:
        if name in self._projects:
            return
        row = [checked(project=name)["project"], time.time_ns()]
        await self._write(lambda t: t.write({tables.projects: [row]}))
        self._projects.add(name)

    async def create_key(self, key: Key) -> None:
        row = rows.key_row(key)

        def write(transaction: Transaction) -> errors.SpanloomError | None:
            if transaction.connection.execute(queries.KEY, {"id": key.id}).first():
                return errors.invalid_field("id", "is already the id of another key")
            transaction.write({tables.keys: [row]})
            return None

        await self._write(write)

    async def find_key(self, key_id: str) -> Key | None:
        parameters = checked(id=key_id)
        row = await self._read(lambda c: c.execute(queries.KEY, parameters).first())
        return rows.to_key(row) if row else None

    async def list_keys(self) -> list[Key]:
        return await self._read(lambda c: [rows.to_key(row) for row in c.execute(queries.KEYS)])

    async def revoke_key(self, key_id: str, revoked_ns: int) -> bool:
        parameters = {"key_id": checked(id=key_id)["id"], "at_ns": revoked_ns}

        def write(transaction: Transaction) -> int:
            return transaction.connection.execute(queries.REVOKE_KEY, parameters).rowcount

        return bool(await self._write(write))
