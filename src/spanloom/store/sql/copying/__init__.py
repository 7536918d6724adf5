"""Copies of all data in another database, which may be of another kind: `spanloom migrate-data`.

Rows are copied as they are, with their versions, so that cursors and orders stay what they are. A
row of a span is never changed under its version. So the spans of two databases are made equal by
their versions alone (`spans`); the rows of other tables are compared whole, by their keys (`rows`).
Both can be interrupted anywhere, and done again. The index of terms and the sums over spans follow
the spans: the servers of the new database make them anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from spanloom.errors import SetupError
from spanloom.store.sql import migrations
from spanloom.store.sql.copying.journal import Journal, refuse_unfinished
from spanloom.store.sql.copying.rows import synchronize
from spanloom.store.sql.copying.side import Side, of_project
from spanloom.store.sql.copying.spans import sweep
from spanloom.store.sql.copying.tables import BY_KEY, PROJECT
from spanloom.store.sql.copying.verify import differences, sums
from spanloom.store.sql.tables import spans
from spanloom.store.sql.urls import database

# Is told how many spans more are done, and how many there are in all.
Progress = Callable[[int, int], None]

__all__: Final = ["Progress", "copy", "refuse_unfinished", "verify"]


@contextmanager
def _told() -> Iterator[None]:
    """Failures of a database as SetupError: whoever runs the command sees the cause."""
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        raise SetupError("a database has failed: run the command again to go on") from error


@_told()
def copy(source_url: str, target_url: str, project: str, progress: Progress) -> int:
    """Make a database equal to another one; how many spans it has. Blocks.

    The first run copies everything, a later one what has changed since. The source may be written
    meanwhile: what comes after the last look is missing then. Nobody may write to the target.

    Args:
        project: Copies what is of this project alone; "" for everything.

    Raises:
        SetupError: A database cannot be used or has failed, or the target has data of its own.
    """
    migrations.check_database(database(source_url))
    refuse_unfinished(database(source_url))
    migrations.migrate_database(database(target_url))
    with Side.open(source_url, writer=False) as source, Side.open(target_url, writer=True) as into:
        journal = Journal(into.database, _name(source), project)
        with source.engine.connect() as reading:
            taken = source.database.versions_taken(reading)
        with into.database.write_lock(), into.engine.begin() as writing:
            reached = journal.begin(writing, taken)
        total = count(source, project)
        # What is replaced or deleted while this runs has changed before the version that it has
        # come to. So it looks at everything once more.
        rest = count(source, project, after=reached)
        progress(total - rest, total)
        sweep(source, into, journal, reached, lambda number: progress(number, total))
        for table in BY_KEY:
            if not project or "project" in table.c or table in PROJECT:
                synchronize(source, into, journal, table)
        sweep(source, into, journal, 0, lambda _: None)
        with into.database.write_lock(), into.engine.begin() as writing:
            journal.hold(writing)
            journal.finish(writing)
        return count(into, project)


@_told()
def verify(source_url: str, target_url: str, project: str, progress: Progress) -> list[str]:
    """Compare two databases; a line for each difference. Blocks.

    Args:
        project: As of `copy`.

    Raises:
        SetupError: A database cannot be used, or has failed.
    """
    found = []
    with Side.open(source_url, writer=False) as source, Side.open(target_url, writer=False) as into:
        total = count(source, project) + count(into, project)
        for side in (source, into):
            migrations.check_database(side.database)
            found.append(sums(side, project, lambda number: progress(number, total)))
    return differences(*found)


def count(side: Side, project: str, after: int = 0) -> int:
    """How many spans there are with versions after one."""
    number = select(func.count()).where(spans.c.version > after, *of_project(spans, project))
    with side.engine.connect() as connection:
        return int(connection.execute(number).scalar_one())


def _name(side: Side) -> str:
    """The database as the journal names it: the same for every spelling that a user may choose."""
    url = side.database.url
    if url.drivername.startswith("sqlite"):
        return f"sqlite:///{Path(str(url.database)).resolve()}"
    return url.render_as_string(hide_password=True)
