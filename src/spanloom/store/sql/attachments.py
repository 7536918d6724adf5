"""Attachments: long contents of messages, each kept once a project, by its SHA-256.

The table `attached` has a row for each attachment of a span's row; the transaction that writes the
body writes it. A trigger deletes it with the body, and notes the attachment in
`released_attachments`. What no span has any more is deleted in a transaction that has the writers'
lock alone: one that writes at the same time could just attach it again.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sqlalchemy import Connection, bindparam, delete, exists, select, tuple_

from spanloom.model import Attachment
from spanloom.store.sql import packing
from spanloom.store.sql.database import Row
from spanloom.store.sql.tables import attached, attachments, released_attachments

if TYPE_CHECKING:
    from spanloom.store.sql.transaction import Transaction

_IS_ATTACHED = exists().where(
    attached.c.project == attachments.c.project, attached.c.digest == attachments.c.digest
)
_OF_SPAN = (
    select(attachments.c.digest, attachments.c.content)
    .join_from(
        attached,
        attachments,
        (attachments.c.project == attached.c.project) & (attachments.c.digest == attached.c.digest),
    )
    .where(attached.c.span_version == bindparam("version"))
)
_BY_DIGEST = select(attachments.c.media_type, attachments.c.content).where(
    attachments.c.project == bindparam("project"),
    attachments.c.digest == bindparam("digest"),
    _IS_ATTACHED,
)
_IS_RELEASED = tuple_(attachments.c.project, attachments.c.digest).in_(
    select(released_attachments.c.project, released_attachments.c.digest)
)
_ANY_RELEASED = select(released_attachments.c.project).limit(1)

_of_thread = threading.local()


@contextmanager
def read_from(connection: Connection) -> Iterator[None]:
    """Have `message` read attachments from a connection, in this thread. Bodies are read in many
    places, which need not know of attachments: few bodies have any."""
    before = getattr(_of_thread, "connection", None)
    _of_thread.connection = connection
    try:
        yield
    finally:
        _of_thread.connection = before


def message(sent: bytes, version: int) -> bytes:
    """What was sent whole, from `bodies.sent` and `bodies.span_version`. Whatever a decoder raises,
    or KeyError, where it is damaged; NotImplementedError outside of `read_from`."""

    def contents() -> dict[bytes, bytes]:
        connection: Connection | None = getattr(_of_thread, "connection", None)
        if connection is None:
            raise NotImplementedError("a body is read outside of a read or a write of the store")
        found = connection.execute(_OF_SPAN, {"version": version})
        return {bytes(digest): bytes(content) for digest, content in found}

    return packing.unpacked(sent, contents)


def find(connection: Connection, project: str, digest: bytes) -> Attachment | None:
    """An attachment that a span of the project has."""
    row = connection.execute(_BY_DIGEST, {"project": project, "digest": digest}).first()
    return Attachment(row.media_type, bytes(row.content)) if row else None


def content_rows(project: str, contents: packing.Contents) -> list[Row]:
    """Rows of `attachments`."""
    return [[project, digest, *content] for digest, content in contents.items()]


def attached_rows(spans: Sequence[Row], bodies: Sequence[Row]) -> list[Row]:
    """Rows of `attached`, from rows of spans and of their bodies, in the same order. Updates have
    their texts whole, and their contents are found by their digests all the same."""
    return [
        [version, digest, span[0]]
        for span, (version, _, sent, _, updates) in zip(spans, bodies, strict=True)
        if updates or packing.has_attachments(sent)
        for digest in packing.digests(sent) | packing.contents_in(updates or "").keys()
    ]


def any_released(connection: Connection) -> bool:
    """Whether there is something to do for `delete_released`."""
    return connection.execute(_ANY_RELEASED).first() is not None


def delete_released(transaction: Transaction) -> int:
    """Delete the attachments that no span has any more; how many there were. The transaction has
    the writers' lock alone."""
    connection = transaction.connection
    if not any_released(connection):
        return 0
    gone = delete(attachments).where(_IS_RELEASED, ~_IS_ATTACHED)
    number = connection.execute(gone).rowcount
    connection.execute(delete(released_attachments))
    return int(number)
