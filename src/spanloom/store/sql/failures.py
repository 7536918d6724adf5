"""What a failure in the store means to the caller."""

from __future__ import annotations

import logging
import sqlite3

from sqlalchemy.exc import (
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
    TimeoutError,
)

from spanloom import errors

log = logging.getLogger("spanloom.store")

# A value that no column takes. The checks before should have refused it by name.
_VALUES = (DataError, OverflowError, UnicodeError)
# A statement that no state of the database makes right: a mistake in the program.
_MISTAKES = (IntegrityError, NotSupportedError, ProgrammingError)
_QUERY_CANCELED = "57014"  # of SQL
_SQLITE_DAMAGE = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_SQL_DAMAGE = ("XX001", "XX002")  # data_corrupted and index_corrupted of PostgreSQL
_UNREACHED = (DBAPIError, TimeoutError, OSError)


def public_error(error: Exception) -> Exception:
    """The error to raise to the caller: INVALID_ARGUMENT, UNAVAILABLE, or, for a mistake in the
    program, the error itself.

    The cause of the first two is logged here and not shown to the caller; the third is logged by
    whoever answers the call.
    """
    if isinstance(error, errors.SpanloomError):
        return error
    if _is_damage(error):
        log.error(
            "the database is damaged: stop the server and restore a backup"
            ' (docs/deployment.md, "Backup while running")',
            exc_info=error,
        )
        return errors.store_unavailable()
    if is_lost(error):
        log.error("the database is not available", exc_info=error)
        return errors.store_unavailable()
    if isinstance(error, _VALUES):
        log.error("the database cannot hold a value", exc_info=error)
        return errors.invalid_field("", "the database cannot hold a value of this request")
    if isinstance(error, _UNREACHED) and not isinstance(error, _MISTAKES):
        log.error("the database is not available", exc_info=error)
        return errors.store_unavailable()
    return error


def is_lost(error: Exception) -> bool:
    """Whether the connection is lost with the error: the server restarted, or ended the session."""
    return isinstance(error, DBAPIError) and error.connection_invalidated


def is_timeout(error: Exception) -> bool:
    """Whether the database ended a statement that took too long."""
    return isinstance(error, DBAPIError) and getattr(error.orig, "sqlstate", "") == _QUERY_CANCELED


def _is_damage(error: Exception) -> bool:
    """Whether the database found a page or an index that is no more what it wrote."""
    cause = getattr(error, "orig", None)
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF  # without what extends it
    return code in _SQLITE_DAMAGE or getattr(cause, "sqlstate", "") in _SQL_DAMAGE
