"""The Python client: `spanloom.Client` and `spanloom.AsyncClient`. It does not load the server."""

from spanloom.client.asynchronous import AsyncClient
from spanloom.client.batches import LostSpansError
from spanloom.client.blocking import Client
from spanloom.client.connection import tls
from spanloom.client.errors import CallError
from spanloom.client.recording import Facts, RecordedSpan, current_span

__all__ = [
    "AsyncClient",
    "CallError",
    "Client",
    "Facts",
    "LostSpansError",
    "RecordedSpan",
    "current_span",
    "tls",
]
