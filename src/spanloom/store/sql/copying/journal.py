"""What a database that is being filled knows of it: the table `data_copies`, with a row for each
project that is copied alone, or one for all of them.

It exists only in databases that are filled, and stays there: a further run copies what has changed
since, as long as nobody else has written.
"""

from __future__ import annotations

from typing import Final

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    MetaData,
    Table,
    Text,
    case,
    inspect,
    select,
    update,
)

from spanloom.errors import SetupError
from spanloom.store.sql.copying.tables import BY_KEY, BY_VERSION
from spanloom.store.sql.database import Database

# Versions of the target begin so much higher than those of the source, which may go on meanwhile.
_SKIPPED_VERSIONS: Final = 10**13

_copies = Table(
    "data_copies",
    MetaData(),
    Column("project", Text, primary_key=True),  # "" for all
    Column("source", Text, nullable=False),  # its URL, without a password
    # What `Database.versions_taken` was when the copy began.
    Column("taken", BigInteger, nullable=False),
    Column("reached", BigInteger, nullable=False),  # every version up to this was compared once
    Column("finished", BigInteger, nullable=False),  # 0 while a run has not come to its end
)


class Journal:
    """The row of a copy in its target.

    Every transaction that writes to the target calls `hold` first: it keeps other runs out, and
    fails where a server has written.
    """

    def __init__(self, database: Database, source: str, project: str) -> None:
        self.project = project
        self._database, self._source = database, source
        self._taken = 0

    def begin(self, writing: Connection, source_taken: int) -> int:
        """Begin a copy or go on with it; the version that was reached.

        Args:
            source_taken: `Database.versions_taken` of the source.

        Raises:
            SetupError: the target has data of its own, or was filled from another database.
        """
        self._database.lock_schema(writing)
        _copies.create(writing, checkfirst=True)
        others = writing.execute(select(_copies)).fetchall()
        if not others:
            _refuse_data(writing)
            self._database.skip_versions(writing, source_taken + _SKIPPED_VERSIONS)
        elif any(other.source != self._source for other in others):
            raise SetupError(f"the database was filled from {others[0].source}: use an empty one")
        self._taken = others[0].taken if others else self._database.versions_taken(writing)
        if source_taken >= self._taken:
            raise SetupError("the versions of both databases overlap: use an empty one")
        self.hold(writing)
        mine = [other for other in others if other.project == self.project]
        if mine:
            self._set(writing, finished=0)
            return int(mine[0].reached)
        row = {"source": self._source, "taken": self._taken, "reached": 0, "finished": 0}
        writing.execute(_copies.insert().values(project=self.project, **row))
        return 0

    def hold(self, writing: Connection) -> None:
        """Keep other runs out until the transaction ends. SetupError when somebody else has taken
        versions of the target, which every write of a server does."""
        self._database.lock_schema(writing)
        if self._database.versions_taken(writing) != self._taken:
            raise SetupError(
                "a server has written to the database that is being filled: use an empty one, and"
                " start no server on it before the copy is finished"
            )

    def reach(self, writing: Connection, version: int) -> None:
        """Note that every version up to this was compared once."""
        reached = case((_copies.c.reached < version, version), else_=_copies.c.reached)
        self._set(writing, reached=reached)

    def finish(self, writing: Connection) -> None:
        """Note that the run has come to its end; the next one begins with what came since."""
        self._set(writing, finished=1)

    def _set(self, writing: Connection, **values: object) -> None:
        mine = update(_copies).where(_copies.c.project == self.project)
        writing.execute(mine.values(**values))


def refuse_unfinished(database: Database) -> None:
    """SetupError when a database is only partly filled."""
    engine = database.engine(writer=False, connections=1)
    try:
        with engine.connect() as connection:
            if not inspect(connection).has_table(_copies.name):
                return
            open_ones = select(_copies.c.source).where(_copies.c.finished == 0)
            source = connection.execute(open_ones).scalar()
    finally:
        engine.dispose()
    if source is not None:
        raise SetupError(
            f"the database is only partly filled from {source}: run `spanloom migrate-data` again"
        )


def _refuse_data(writing: Connection) -> None:
    for table in (*BY_VERSION, *BY_KEY):
        if writing.execute(select(table).limit(1)).first() is not None:
            raise SetupError(
                f"the database has data of its own, in the table {table.name}: use an empty one"
            )
