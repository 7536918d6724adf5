"""`ControlStore` on a relational database."""

from __future__ import annotations

import base64
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from sqlalchemy import Connection

from spanloom import errors
from spanloom.model import EVALUATION, Feedback, FeedbackQuery, Json, Key, Page, SignInLink, Span
from spanloom.model.limits import charged
from spanloom.model.patch import APPENDED, Patch
from spanloom.model.projects import ProjectEntry
from spanloom.store.control import ControlStore
from spanloom.store.once import EACH_TIME, Once
from spanloom.store.sql import (
    ownership,
    patches,
    projects,
    queries,
    requests,
    reviews,
    rows,
    tables,
)
from spanloom.store.sql.catalog import SqlCatalog
from spanloom.store.sql.connections import Connections
from spanloom.store.sql.database import Row
from spanloom.store.sql.datasets import SqlDatasets
from spanloom.store.sql.evaluation_queue import SqlEvaluationQueue
from spanloom.store.sql.files import SqlFiles
from spanloom.store.sql.follow_up import follow_up
from spanloom.store.sql.limits import SqlLimits, limits_of
from spanloom.store.sql.records import SqlRecords
from spanloom.store.sql.rows import checked
from spanloom.store.sql.transaction import Transaction

# A project that is being deleted takes no writes after so long.
_KNOWN_SECONDS: Final = 1.0
# In the body of feedback that was written as a review of the native API.
_REVIEW = "review"


class SqlControl(ControlStore):
    """Keys, projects, updates, feedback and the rest in SQLite or PostgreSQL."""

    def __init__(self, connections: Connections) -> None:
        self._database = connections.database
        self._reader = connections.reader
        self._read, self._write = connections.read, connections.write
        self._look_up = connections.look_up
        # Those that this process knew to exist a moment ago, and until when it need not look again.
        self._projects: dict[str, float] = {}
        self.catalog = SqlCatalog(connections)
        self.datasets = SqlDatasets(connections)
        self.records = SqlRecords(connections)
        self.files = SqlFiles(connections)
        self.evaluations = SqlEvaluationQueue(connections)
        self.limits = SqlLimits(connections)

    async def earlier_answer(self, project: str, once: Once) -> bytes | None:
        return await self._read(lambda c: requests.earlier_answer(c, project, once))

    # Updates of events

    async def patch_event(
        self,
        project: str,
        event_id: str,
        patch: Patch,
        *,
        trace_id: str = "",
        only_of: str = "",
    ) -> None:
        row = patches.row_of(project, event_id, patch, only_of, trace_id)

        def write(transaction: Transaction) -> errors.SpanloomError | None:
            # Else an event that moved in this transaction would be in two traces.
            follow_up(transaction)
            if only_of:
                there = ownership.event_is_there(
                    transaction.connection, self._database, project, event_id, only_of
                )
                if isinstance(there, errors.SpanloomError):
                    return there
            return patches.update_event(transaction, project, event_id, patch, trace_id, only_of)

        weight = await self._weight(project, event_id, trace_id, len(row[4]))
        with charged(project, size=len(row[4])):
            await self._write(write, size=weight)

    async def patch_span(
        self, project: str, trace_id: str, span_id: str, patch: Patch, *, only_of: str = ""
    ) -> None:
        row = patches.row_of(project, span_id, patch, only_of, trace_id)
        key = {"project": project, "trace_id": trace_id, "span_id": span_id}

        def write(transaction: Transaction) -> errors.SpanloomError | None:
            if only_of:
                found = transaction.connection.execute(queries.SPAN, key).first()
                if found is not None and found.adapter != only_of:
                    return errors.written_by_another_api(["span"])
            transaction.write({tables.patches: [row]})
            return None

        weight = await self._weight(project, span_id, trace_id, len(row[4]))
        with charged(project, size=len(row[4])):
            await self._write(write, size=weight)

    async def _weight(self, project: str, event_id: str, trace_id: str, update: int) -> int:
        """The bytes that the writer handles for an update of so many, which is refused if its event
        would be too large."""
        if not self._reader.sizes.may_be_large(project, event_id, update):
            return update
        key = (project, event_id, trace_id)
        look = partial(patches.checked_size, database=self._database, reader=self._reader)
        return int(await self._read(lambda c: look(c, key=key, update=update)))

    async def append_to_spans(
        self,
        project: str,
        adapter: str,
        pieces: Mapping[tuple[str, str], Mapping[str, tuple[int, bytes]]],
        missing: Sequence[Span] = (),
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
        keys = {(span.trace_id, span.span_id) for span in missing}

        def write(transaction: Transaction) -> None:
            found = ownership.of_keys(self._database, project, keys)
            there = {tuple(row) for row in transaction.connection.execute(found)}
            left = [span for span in missing if (span.trace_id, span.span_id) not in there]
            transaction.write({tables.patches: made})
            if left:
                transaction.write(rows.span_rows(project, left, partial=True).by_table())

        with charged(project, spans=len(missing), size=size):
            await self._write(write, rows=max(1, len(made)), size=size)

    async def event_patch(self, project: str, event_id: str) -> Patch:
        checked(project=project, event_id=event_id)
        return await self._read(lambda c: patches.of_event(c, project, event_id))

    # Feedback

    async def write_feedback(self, project: str, *feedback: Feedback) -> None:
        made = [rows.feedback_row(project, one) for one in feedback]
        size = sum(len(row[-1]) for row in made)
        with charged(project, size=size):
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

    async def replace_feedback(
        self, project: str, *feedback: Feedback, only_own: bool = False
    ) -> list[Feedback]:
        made = [rows.feedback_row(project, one) for one in feedback]

        def write(transaction: Transaction) -> list[Feedback] | errors.SpanloomError:
            stored = []
            for one in feedback:
                found = reviews.one(project, one.id)
                if earlier := transaction.connection.execute(found).first():
                    is_result = earlier.type == EVALUATION
                    if only_own and (is_result or _REVIEW in rows.to_feedback(earlier).body):
                        return errors.written_by_another_api(["id"])
                    if is_result:
                        return errors.invalid_field("id", "is the id of an evaluator's result")
                    stored.append(replace(one, created_ns=earlier.created_ns))
                else:
                    stored.append(one)
            new = [rows.feedback_row(project, one) for one in stored]
            transaction.write({tables.feedback: new})
            return stored

        size = sum(len(row[-1]) for row in made)
        with charged(project, size=size):
            stored: list[Feedback] = await self._write(write, rows=len(made), size=size)
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
    ) -> list[ProjectEntry]:
        checked(project=name)
        checked(project=after)
        found = queries.projects(name, after).limit(limit)
        return await self._read(
            lambda c: [
                ProjectEntry(name, created_ns, days, limits_of(limits))
                for name, created_ns, days, *limits in c.execute(found)
            ]
        )

    async def ensure_project(self, name: str) -> None:
        now = time.monotonic()
        if self._projects.get(name, 0.0) > now:
            return
        parameters = {"name": checked(project=name)["project"]}
        if not await self._look_up(
            lambda c: c.execute(queries.PROJECT_IS_WHOLE, parameters).scalar()
        ):
            row = [name, time.time_ns(), *[None] * (len(tables.projects.c) - 2)]

            def write(transaction: Transaction) -> errors.SpanloomError | None:
                if transaction.connection.execute(queries.PROJECT_IS_DELETED, parameters).scalar():
                    return errors.project_being_deleted(name)
                transaction.write({tables.projects: [row]})
                return None

            await self._write(write)
        self._projects[name] = now + _KNOWN_SECONDS

    async def delete_project(self, name: str) -> str | None:
        checked(project=name)
        deleted = await self._write(lambda t: projects.delete_if_empty(t.connection, name))
        if deleted == "":
            self._projects.pop(name, None)
        return deleted  # type: ignore[no-any-return]

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
        row = await self._look_up(lambda c: c.execute(queries.KEY, parameters).first())
        return rows.to_key(row) if row else None

    async def list_keys(self) -> list[Key]:
        return await self._read(lambda c: [rows.to_key(row) for row in c.execute(queries.KEYS)])

    async def add_sign_in_link(self, link: SignInLink) -> None:
        row = [link.digest, link.key_id, link.expires_ns]
        now_ns = time.time_ns()

        def write(transaction: Transaction) -> None:
            transaction.connection.execute(queries.EXPIRED_LINKS, {"now_ns": now_ns})
            transaction.write({tables.sign_in_links: [row]})

        await self._write(write)

    async def use_sign_in_link(self, digest: str, now_ns: int) -> Key | None:
        parameters = {"digest": digest, "now_ns": now_ns}

        def write(transaction: Transaction) -> Key | None:
            row = transaction.connection.execute(queries.KEY_OF_LINK, parameters).first()
            transaction.connection.execute(queries.USED_LINK, {"digest": digest})
            return rows.to_key(row) if row else None

        key: Key | None = await self._write(write)
        return key

    async def rotate_key(
        self, project: str, key_id: str, successor: Key, expires_ns: int, once: Once = EACH_TIME
    ) -> None:
        row = rows.key_row(successor)
        parameters = {
            "key_id": checked(id=key_id)["id"],
            "successor": successor.id,
            "now_ns": successor.created_ns,
            "until_ns": expires_ns,
        }

        def write(transaction: Transaction) -> errors.SpanloomError | None:
            if not transaction.connection.execute(queries.REPLACE_KEY, parameters).rowcount:
                return errors.key_not_rotatable(key_id)
            transaction.write({tables.keys: [row]})
            return None

        await self._write(requests.done_once(project, once, write))

    async def note_key_uses(self, uses: Mapping[str, int]) -> None:
        # In the order of ids, so that two processes do not wait for each other's rows.
        noted = [{"key_id": key_id, "at_ns": at_ns} for key_id, at_ns in sorted(uses.items())]

        def write(transaction: Transaction) -> None:
            transaction.connection.execute(queries.NOTE_KEY_USE, noted)

        await self._write(write)

    async def revoke_key(self, key_id: str, revoked_ns: int) -> bool:
        parameters = {"key_id": checked(id=key_id)["id"], "at_ns": revoked_ns}

        def write(transaction: Transaction) -> int:
            return transaction.connection.execute(queries.REVOKE_KEY, parameters).rowcount

        return bool(await self._write(write))
