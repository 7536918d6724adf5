"""What a caller is told of an exception."""

from __future__ import annotations

import structlog

from spanloom.errors import Code, Reason, SpanloomError

log = structlog.get_logger("spanloom.request")


def as_error(
    error: Exception, request_id: str, method: str, on_deadline: str = ""
) -> SpanloomError:
    """The one funnel: known errors are for the caller, the text of all others is only logged."""
    if isinstance(error, SpanloomError):
        return error
    if isinstance(error, TimeoutError):
        return SpanloomError(
            Code.DEADLINE_EXCEEDED,
            Reason.DEADLINE_EXCEEDED,
            on_deadline
            or "the deadline expired before the call was complete; a write may have been stored",
        )
    log.error("internal error", method=method, request_id=request_id, exc_info=error)
    return SpanloomError(
        Code.INTERNAL,
        Reason.INTERNAL,
        f"internal error; the server's log has the cause under the request id {request_id}",
        metadata={"request_id": request_id},
    )
