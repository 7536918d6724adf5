"""What a server records of its own work, for another receiver of OpenTelemetry: a span a call, and
one a commit.

Spans are drawn at random, whatever the caller's `traceparent` says of sampling, so that nobody can
raise what is recorded. A caller who says that the trace is not sampled gets no span: with that, two
servers that send their spans to each other do not record how they send them.
"""

from __future__ import annotations

import random
import re
import secrets
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

# More spans that wait to be sent are dropped, the oldest first.
MOST_WAITING: Final = 2048
_MOST_LINKS: Final = 32
_TRACEPARENT: Final = re.compile(
    r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?"
)
# Codes that are the server's fault, not the caller's.
_FAULTS: Final = frozenset(
    {"UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"}
)

# The span of the call for which the current task works, if it is recorded.
SPAN: Final[ContextVar[OwnSpan | None]] = ContextVar("span", default=None)


@dataclass(slots=True)
class OwnSpan:
    """A span of the server itself. Ids are bytes, times are nanoseconds since 1970.

    Attributes:
        parent_id: Empty for none.
        error: What failed, where it is the server's fault.
        links: The trace and span ids of others that it also worked for.
    """

    recorder: Recorder
    name: str
    trace_id: bytes
    parent_id: bytes = b""
    span_id: bytes = field(default_factory=lambda: secrets.token_bytes(8))
    start_ns: int = field(default_factory=time.time_ns)
    end_ns: int = 0
    attributes: dict[str, str | int] = field(default_factory=dict)
    error: str = ""
    links: Sequence[tuple[bytes, bytes]] = ()
    is_call: bool = False


class Recorder:
    """Draws the calls that are recorded, and keeps their spans until they are sent. Safe in any
    thread.

    Args:
        ratio: The part of the calls that is recorded, from 0 to 1.
    """

    def __init__(self, ratio: float) -> None:
        self._ratio = ratio
        self._ended: deque[OwnSpan] = deque()
        self._dropped = 0
        self._lock = threading.Lock()

    def begin(self, name: str, traceparent: str) -> OwnSpan | None:
        """The span of a call that begins; None if it is not recorded.

        Args:
            traceparent: The caller's header, as the W3C describes it; "" if there is none.
        """
        caller = _TRACEPARENT.fullmatch(traceparent)
        if caller and not int(caller[3], 16) & 1:
            return None
        if random.random() >= self._ratio:  # noqa: S311 - no secret
            return None
        if caller is None:
            return OwnSpan(self, name, secrets.token_bytes(16), is_call=True)
        trace_id, parent_id = bytes.fromhex(caller[1]), bytes.fromhex(caller[2])
        return OwnSpan(self, name, trace_id, parent_id, is_call=True)

    def end_call(
        self, span: OwnSpan, code: str, reason: str, attributes: dict[str, str | int]
    ) -> None:
        """Note the end of a call; empty attributes are left out."""
        span.attributes |= {"rpc.method": span.name, "rpc.response.status_code": code}
        if code != "OK":
            span.attributes["error.type"] = reason or code
        span.attributes |= {name: value for name, value in attributes.items() if value != ""}
        span.error = reason or code if code in _FAULTS else ""
        self._end(span)

    def end_commit(self, calls: Sequence[OwnSpan], start_ns: int, rows: int, number: int) -> None:
        """Note a commit that some recorded calls waited for.

        Args:
            rows, number: Of the group, with the calls that are not recorded.
        """
        first, *others = calls
        span = OwnSpan(self, "commit", first.trace_id, first.span_id, start_ns=start_ns)
        span.attributes |= {"spanloom.rows": rows, "spanloom.calls": number}
        span.links = [(other.trace_id, other.span_id) for other in others[:_MOST_LINKS]]
        self._end(span)

    def take(self, most: int) -> tuple[list[OwnSpan], int]:
        """Up to so many spans that have ended, oldest first, and how many were dropped since the
        last time."""
        with self._lock:
            taken = [self._ended.popleft() for _ in range(min(most, len(self._ended)))]
            dropped, self._dropped = self._dropped, 0
        return taken, dropped

    def _end(self, span: OwnSpan) -> None:
        span.end_ns = time.time_ns()
        with self._lock:
            if len(self._ended) >= MOST_WAITING:
                self._ended.popleft()
                self._dropped += 1
            self._ended.append(span)


def unsampled() -> str:
    """A `traceparent` with which a receiver of the same kind records nothing."""
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-00"
