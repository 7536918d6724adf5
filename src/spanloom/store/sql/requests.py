"""The answers to calls with a request id (`spanloom.store.once`), each committed with what its call
wrote: a repeat finds both or neither."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import ColumnElement, Connection, Delete, delete, select, tuple_

from spanloom.errors import SpanloomError, request_id_reused
from spanloom.store.once import REMEMBERED_SECONDS, AnsweredBeforeError, Once
from spanloom.store.sql.rows import checked
from spanloom.store.sql.tables import answers
from spanloom.store.sql.transaction import Transaction
from spanloom.store.sql.write_queue import Work

# So many expired answers are deleted with each new one, which therefore never waits for many.
_EXPIRED_AT_ONCE = 100

_KEY = (answers.c.project, answers.c.method, answers.c.request_id)


def done_once(project: str, call: Once, work: Work) -> Work:
    """The work of a call, unless it is a repeat. It must not be of rows only."""
    if not call.request_id:
        return work

    def write(transaction: Transaction) -> Any:
        if earlier := _earlier(transaction.connection, project, call):
            return earlier
        result = work(transaction)
        if not isinstance(result, Exception):
            _delete_expired(transaction.connection, project, call)
            row = [project, call.method, call.request_id, call.digest, call.about, time.time_ns()]
            transaction.write({answers: [[*row, call.answer(result)]]})
        return result

    return write


def earlier_answer(connection: Connection, project: str, call: Once) -> bytes | None:
    """The answer to an earlier call with the request id; raises what refuses this one."""
    earlier = _earlier(connection, project, call)
    if isinstance(earlier, SpanloomError):
        raise earlier
    return earlier.answer if earlier else None


def answers_about(project: str, about: str) -> Delete:
    """Deletes the answers that have a part of a dataset."""
    return delete(answers).where(answers.c.project == project, answers.c.about == about)


def _earlier(
    connection: Connection, project: str, call: Once
) -> AnsweredBeforeError | SpanloomError | None:
    query = select(answers.c.digest, answers.c.answer).where(
        *_is_of(project, call), answers.c.created_ns > _oldest_ns()
    )
    found = connection.execute(query).first()
    if found is None:
        return None
    if found.digest != call.digest:
        return request_id_reused(call.field)
    return AnsweredBeforeError(bytes(found.answer))


def _delete_expired(connection: Connection, project: str, call: Once) -> None:
    """Delete the oldest of the answers that nobody is given any more, and that of this call."""
    connection.execute(delete(answers).where(*_is_of(project, call)))
    expired = select(*_KEY).where(answers.c.created_ns <= _oldest_ns())
    oldest = expired.order_by(answers.c.created_ns).limit(_EXPIRED_AT_ONCE)
    connection.execute(delete(answers).where(tuple_(*_KEY).in_(oldest)))


def _is_of(project: str, call: Once) -> list[ColumnElement[bool]]:
    key = checked(project=project, method=call.method, request_id=call.request_id)
    return [column == key[column.name] for column in _KEY]


def _oldest_ns() -> int:
    return time.time_ns() - REMEMBERED_SECONDS * 10**9
