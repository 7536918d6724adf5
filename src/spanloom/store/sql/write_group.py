"""How the calls of a group are written in one transaction: together, or one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from spanloom.store.sql.failures import is_lost, public_error
from spanloom.store.sql.follow_up import follow_up
from spanloom.store.sql.transaction import Transaction
from spanloom.store.sql.write_queue import PendingWrite

# In the place of the result of a call that was not written, for another program holds a lock.
STUCK: Final = object()
# One by one, a call waits no longer for a lock, and no more callers than this are tried in vain.
_HURRY_SECONDS: Final = 0.5
_MOST_STUCK: Final = 8


def together(transaction: Transaction, group: Sequence[PendingWrite]) -> list[Any]:
    """Write all calls, then what follows from them."""
    results = [call.work(transaction) for call in group]
    follow_up(transaction)
    transaction.flush()
    return results


def one_by_one(transaction: Transaction, group: Sequence[PendingWrite]) -> list[Any]:
    """Write one call after the other, each under a savepoint: what fails is undone, and is the
    call's result. A call that does not get its locks is stuck, and the later ones of its caller."""
    transaction.database.hurry(transaction.connection, _HURRY_SECONDS)
    results: list[Any] = []
    stuck: set[str] = set()
    for call in group:
        if call.caller in stuck or len(stuck) >= _MOST_STUCK:
            results.append(STUCK)
            continue
        savepoint = transaction.connection.begin_nested()
        try:
            results.append(together(transaction, [call])[0])
            savepoint.commit()
        except Exception as error:
            if is_lost(error):
                raise
            savepoint.rollback()
            transaction.forget()
            if transaction.database.is_locked(error):
                call.is_stuck = True
                stuck.add(call.caller)
                results.append(STUCK)
            else:
                results.append(public_error(error))
    return results
