"""Copies of an SQLite database, made while servers run, and their way back.

A copy is made by `VACUUM INTO`: one read of one committed state, which keeps no writer waiting, and
which leaves the free pages out that a copy page by page would have, with all that was deleted.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from spanloom.errors import SetupError
from spanloom.store.sql.database import PATIENCE_SECONDS
from spanloom.store.sql.migrations import HEAD
from spanloom.store.sql.sqlite import SQLite
from spanloom.store.sql.urls import database

# After a restore versions continue so much higher than in the copy. What clients were given after
# the copy was made, cursors and page tokens, is then of the past; else they would miss what is
# written until the versions have come so far again.
_SKIPPED_VERSIONS = 10**13
_LOGS = ("-wal", "-shm", "-journal")


@contextmanager
def _told() -> Iterator[None]:
    """Failures of files and of SQLite as SetupError: whoever runs the command sees the cause."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        raise SetupError(f"the database cannot be copied: {error}") from error


@_told()
def backup(url: str, file: Path, *, force: bool = False) -> int:
    """Copy a database to a file, with everything that was acknowledged before; the file's bytes.

    The file is there as a whole, checked and on the disk, or not at all.

    Args:
        force: an existing file is replaced.

    Raises:
        SetupError: the database is no SQLite file, or is damaged; the file exists, or cannot be
            written.
    """
    source = _path_of(url)
    if not source.exists():
        raise SetupError(f"the file {source} does not exist")
    _refuse_to_overwrite(file, force)
    with _part_of(file) as part:
        with closing(sqlite3.connect(source, timeout=PATIENCE_SECONDS)) as connection:
            connection.execute("VACUUM INTO ?", (str(part),))
        _check(part)
        _publish(part, file, force)
    return file.stat().st_size


@_told()
def restore(url: str, file: Path, *, force: bool = False) -> int:
    """Put a copy that `backup` made in the place of a database; its bytes.

    Args:
        force: an existing database is replaced.

    Raises:
        SetupError: the file is no whole copy, or is that of a newer version; or the database
            exists, or a server or another program has it open.
    """
    target = _path_of(url)
    _refuse_to_overwrite(target, force)
    target.parent.mkdir(parents=True, exist_ok=True)
    with _part_of(target) as part:
        shutil.copyfile(file, part)
        _check(part)
        with closing(sqlite3.connect(part)) as connection, connection:
            connection.execute("UPDATE sequences SET value = value + ?", (_SKIPPED_VERSIONS,))
        with _nobody_has(target):
            for end in _LOGS:
                # SQLite would read a log into the file that has its name.
                Path(f"{target}{end}").unlink(missing_ok=True)
            _publish(part, target, force)
    return target.stat().st_size


def _path_of(url: str) -> Path:
    found = database(url)
    if not isinstance(found, SQLite):
        raise SetupError(
            "only SQLite databases are copied by this command: use pg_dump and pg_restore, as"
            " docs/deployment.md describes"
        )
    return Path(str(found.url.database)).absolute()


def _refuse_to_overwrite(file: Path, force: bool) -> None:
    if file.exists() and not force:
        raise SetupError(f"the file {file} exists: --force replaces it")


@contextmanager
def _part_of(file: Path) -> Iterator[Path]:
    """An empty file beside another one, which only its owner may read; it is gone afterwards."""
    part = file.with_name(f"{file.name}.part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def _check(copy: Path) -> None:
    """Raise SetupError unless a file is a whole database of this version or an earlier one."""
    try:
        with closing(sqlite3.connect(copy)) as connection:
            [found] = connection.execute("PRAGMA integrity_check(1)").fetchone()
            if found != "ok":
                raise SetupError(f"the database is damaged: {found}")
            [step] = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error as error:
        raise SetupError(f"this is not a database of Spanloom: {error}") from None
    if step > HEAD:
        raise SetupError(
            f"the schema is at step {step}, which this version of Spanloom does not know: install"
            " a newer version"
        )


def _publish(part: Path, file: Path, force: bool) -> None:
    """Give a file its name, when all of it is on the disk."""
    with part.open("rb") as written:
        os.fsync(written.fileno())
    if force:
        part.replace(file)
    else:
        try:
            os.link(part, file)  # unlike a rename, this replaces nothing
        except FileExistsError:
            raise SetupError(f"the file {file} exists: --force replaces it") from None
        part.unlink()
    directory = os.open(file.parent, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


@contextmanager
def _nobody_has(target: Path) -> Iterator[None]:
    """Hold a database for oneself. SetupError where another program has it open."""
    if not target.exists():
        yield
        return
    with closing(sqlite3.connect(target, timeout=0.0)) as connection:
        connection.isolation_level = None
        try:
            # Refused while anybody else has the file open, also one who does nothing.
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.execute("BEGIN EXCLUSIVE")
        except sqlite3.OperationalError as error:
            raise SetupError(
                f"another program has the database {target} open: stop the server ({error})"
            ) from None
        except sqlite3.DatabaseError:
            pass  # what is damaged may be replaced
        yield
