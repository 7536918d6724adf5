"""What a project may take, and who counts it for the current task."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import asdict, dataclass, fields
from typing import Final, Protocol

from spanloom.errors import Reason, SpanloomError


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Limits of a project or of a key: 0 for none, and None for what the settings say.

    Attributes:
        requests_per_second: Calls; a stream is one.
        bytes_per_second: Bytes of what is written, unpacked.
        spans_per_second: Spans and events that are written.
        stored_spans: Spans that a project may have. A key has no such limit.
    """

    requests_per_second: int | None = None
    bytes_per_second: int | None = None
    spans_per_second: int | None = None
    stored_spans: int | None = None

    @property
    def given(self) -> dict[str, int]:
        """Those that are not None, by name."""
        return {name: value for name, value in asdict(self).items() if value is not None}


LIMIT_NAMES: Final = tuple(field.name for field in fields(Limits))


class Meter(Protocol):
    """Counts what one call writes."""

    def charge(self, project: str, *, spans: int = 0, size: int = 0) -> None:
        """Count spans and bytes that are about to be written.

        Raises:
            SpanloomError: RESOURCE_EXHAUSTED if a limit is reached. Nothing is counted then.
        """
        ...

    def refund(self, project: str, *, spans: int = 0, size: int = 0) -> None:
        """Take back what was counted and not written."""
        ...


# None for the server's own work.
METER: Final[ContextVar[Meter | None]] = ContextVar("meter", default=None)


@contextmanager
def charged(project: str, *, spans: int = 0, size: int = 0) -> Iterator[None]:
    """Count what the current task writes inside, as `Meter.charge`. What a full queue refuses is
    not counted: else whoever tries again would come closer to a limit each time."""
    meter = METER.get()
    if meter is None:
        yield
        return
    meter.charge(project, spans=spans, size=size)
    try:
        yield
    except SpanloomError as error:
        if error.reason is Reason.QUEUE_FULL:
            meter.refund(project, spans=spans, size=size)
        raise
