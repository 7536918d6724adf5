"""`Files` on a relational database."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Connection, delete, func, insert, select, update

from spanloom.model.files import File, Upload
from spanloom.store.files import Files
from spanloom.store.sql.connections import Connections
from spanloom.store.sql.rows import checked
from spanloom.store.sql.tables import files
from spanloom.store.sql.transaction import Transaction


class SqlFiles(Files):
    """Files in SQLite or PostgreSQL."""

    def __init__(self, connections: Connections) -> None:
        self._read, self._write = connections.read, connections.write

    async def add(self, project: str, upload: Upload, *, most: int) -> bool:
        checked(project=project, key=upload.key, name=upload.name)
        checked(content_type=upload.content_type)
        expired = delete(files).where(files.c.upload > "", files.c.expires_ns <= upload.created_ns)
        number = select(func.count()).where(files.c.project == project)
        row = {
            "project": project,
            "key": upload.key,
            "name": upload.name,
            "content_type": upload.content_type,
            "created_ns": upload.created_ns,
            "upload": upload.digest,
            "expires_ns": upload.expires_ns,
            "content": b"",
        }

        def write(transaction: Transaction) -> bool:
            connection = transaction.connection
            connection.execute(expired)
            if connection.execute(number).scalar_one() >= most:
                return False
            connection.execute(insert(files).values(row))
            return True

        return bool(await self._write(write))

    async def waits(self, digest: str, content_type: str, now_ns: int) -> bool:
        found = select(files.c.key).where(*_waiting(digest, content_type, now_ns))
        return await self._read(lambda c: c.execute(found).first()) is not None

    async def fill(self, digest: str, content_type: str, content: bytes, now_ns: int) -> bool:
        filled = update(files).where(*_waiting(digest, content_type, now_ns))
        filled = filled.values(upload="", content=content)
        return bool(
            await self._write(lambda t: t.connection.execute(filled).rowcount, size=len(content))
        )

    async def find(self, project: str, key: str) -> File | None:
        checked(project=project, key=key)
        found = select(files.c.name, files.c.content_type, files.c.content).where(
            files.c.project == project, files.c.key == key, files.c.upload == ""
        )

        def read(connection: Connection) -> File | None:
            row = connection.execute(found).first()
            return File(row.name, row.content_type, bytes(row.content)) if row else None

        return await self._read(read)


def _waiting(digest: str, content_type: str, now_ns: int) -> tuple[ColumnElement[bool], ...]:
    return (
        files.c.upload == digest,
        files.c.content_type == content_type,
        files.c.expires_ns > now_ns,
    )
