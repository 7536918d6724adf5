"""SQL that a person writes, on the tables and on two views, `v_spans` and `v_messages`.

Columns are read by any SQL tool. What was sent is compressed in the adapter's own format, so the
functions that decode it exist only here, and only on SQLite, whose functions can be Python's:

    span_json(version)      the span's parts as one JSON object (`spanloom.store.sql.bodies`)
    v_messages              project, trace_id, span_id, version, start_ns, direction ("input" or
                            "output"), position, role, content, message: one row a GenAI message,
                            with its texts, and the whole of it as JSON
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection, bindparam, select, text
from sqlalchemy.exc import DBAPIError, ResourceClosedError

from spanloom.errors import SetupError
from spanloom.store.spans import Restore
from spanloom.store.sql import attachments, migrations
from spanloom.store.sql.reading import SpanReader, select_whole
from spanloom.store.sql.tables import spans
from spanloom.store.sql.urls import database

_BY_VERSION = select_whole(select(spans).where(spans.c.version == bindparam("version")), ())
_MESSAGES = """
CREATE TEMP VIEW v_messages AS
SELECT s.project, s.trace_id, s.span_id, s.version, s.start_ns, d.direction,
    m.key AS position, json_extract(m.value, '$.role') AS role,
    coalesce(json_extract(m.value, '$.content'), (
        SELECT group_concat(json_extract(p.value, '$.content'), char(10))
        FROM json_each(m.value, '$.parts') AS p
        WHERE json_extract(p.value, '$.type') = 'text'
    )) AS content,
    m.value AS message
FROM spans AS s
CROSS JOIN (SELECT 'input' AS direction UNION ALL SELECT 'output') AS d
CROSS JOIN json_each(span_json(s.version), '$.genai.' || d.direction || '_messages') AS m
"""


class SqlError(SetupError):
    """The database refuses a statement; the text is the database's own."""


@contextmanager
def results(
    url: str, statement: str, restore: Restore
) -> Iterator[tuple[list[str], Iterator[Sequence[Any]]]]:
    """The names of a statement's columns and its rows, which are read as they are taken. The
    statement cannot change the database.

    Args:
        restore: As of `Store.open`.

    Raises:
        SetupError: The URL names no database with the tables of this version.
        SqlError: The statement is refused, in the block, too.
    """
    target = database(url)
    migrations.check_database(target)
    engine = target.engine(writer=False, connections=2)
    try:
        with engine.connect() as connection, engine.connect() as whole:
            _prepare(connection, whole, SpanReader(restore))
            if connection.dialect.name == "postgresql":
                statement = statement.replace("%", "%%")  # the driver's mark of a parameter
            found = connection.execution_options(stream_results=True).exec_driver_sql(statement)
            yield list(found.keys()), iter(found)
    except ResourceClosedError:
        raise SqlError("the statement gives no rows") from None
    except DBAPIError as error:
        raise SqlError(" ".join(str(error.orig).split())) from None
    finally:
        engine.dispose()


def _prepare(connection: Connection, whole: Connection, reader: SpanReader) -> None:
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET TRANSACTION READ ONLY"))
        return

    @lru_cache(maxsize=16)
    def span_json(version: int) -> str | None:
        row = whole.execute(_BY_VERSION, {"version": version}).first()
        with attachments.read_from(whole):
            return None if row is None else reader.to_text(row).decode()

    own: Any = connection.connection.dbapi_connection
    own.create_function("span_json", 1, span_json, deterministic=True)
    with closing(own.cursor()) as cursor:
        cursor.execute(_MESSAGES)
        cursor.execute("PRAGMA query_only = ON")
