"""The HTTP connections of a process: how many there may be, and how long they may wait."""

from __future__ import annotations

import asyncio
import resource
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Protocol

import structlog

from spanloom.model.addresses import Network

log = structlog.get_logger("spanloom.http")

# Descriptors that HTTP leaves to gRPC, the database and files.
_SHARE = 0.5
_SWEEP_SECONDS = 1.0
# While the server stops, a stream whose client takes nothing for so long has ended.
_DRAIN_WRITE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class HttpLimits:
    """What a client may take of a process. Sizes are bytes, times are seconds.

    Attributes:
        connections: In all; fewer where the process may open few files.
        address_connections: Of one address.
        header_bytes: The URL and the headers of a request.
        url_bytes: The URL alone.
        header_seconds: From a connection, or the first byte of a request, to the end of its head.
        body_seconds: Without a byte of a body.
        write_seconds: In which a client takes nothing of what waits for it.
        trusted_proxies: Whose headers name the client; no limit of addresses is theirs.
    """

    connections: int = 10_000
    address_connections: int = 5_000
    header_bytes: int = 65_536
    url_bytes: int = 32_768
    header_seconds: float = 10.0
    body_seconds: float = 60.0
    write_seconds: float = 30.0
    trusted_proxies: tuple[Network, ...] = ()


class Connection(Protocol):
    """What is asked of a connection.

    Attributes:
        address: The client's; "" for that of a trusted proxy.
    """

    address: str

    def close(self) -> None:
        """Close it, where it is between two requests."""
        ...

    def check_time(self, now: float, limits: HttpLimits) -> None:
        """Close it where its client was too slow."""
        ...


class Connections:
    """Makes room for a new connection by closing the one that has been idle longest.

    So whoever opens many and leaves them idle keeps nobody out.
    """

    def __init__(self, limits: HttpLimits) -> None:
        self.limits = limits
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        self.most = max(1, min(limits.connections, int(files * _SHARE)))
        self._number: Counter[str] = Counter()
        # Those between two requests, longest idle first.
        self._idle: dict[Connection, None] = {}
        self._idle_of: defaultdict[str, dict[Connection, None]] = defaultdict(dict)
        self._all: set[Connection] = set()
        self._is_full = False
        self.stream_write_seconds = limits.write_seconds

    def drain(self) -> None:
        """Wait no longer for clients that take nothing of a stream."""
        self.stream_write_seconds = min(self.stream_write_seconds, _DRAIN_WRITE_SECONDS)

    def open(self, connection: Connection) -> bool:
        """Take in a new connection, which is idle; False if there is no room for it."""
        address = connection.address
        if address and self._number[address] >= self.limits.address_connections:
            if not self._close_one(self._idle_of[address]):
                self._tell(address)
                return False
        elif len(self._all) >= self.most and not self._close_one(self._idle):
            self._tell(address)
            return False
        self._all.add(connection)
        self._number[address] += 1
        self.rest(connection)
        return True

    def work(self, connection: Connection) -> None:
        """A request has begun."""
        self._idle.pop(connection, None)
        if connection.address in self._idle_of:
            self._idle_of[connection.address].pop(connection, None)

    def rest(self, connection: Connection) -> None:
        """A request has ended."""
        if connection in self._all:
            self._idle[connection] = None
            self._idle_of[connection.address][connection] = None

    def closed(self, connection: Connection) -> None:
        """The connection is no more."""
        if connection not in self._all:
            return
        self._all.discard(connection)
        self.work(connection)
        self._number[connection.address] -= 1
        if not self._number[connection.address]:
            del self._number[connection.address]
            self._idle_of.pop(connection.address, None)

    async def watch(self) -> None:
        """Close connections whose clients are too slow, until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            for number, connection in enumerate(tuple(self._all)):
                connection.check_time(loop.time(), self.limits)
                if number % 1000 == 999:
                    await asyncio.sleep(0)
            if len(self._all) < self.most * 0.9:
                self._is_full = False

    def _close_one(self, idle: dict[Connection, None]) -> bool:
        longest = next(iter(idle), None)
        if longest is None:
            return False
        self.closed(longest)
        longest.close()
        return True

    def _tell(self, address: str) -> None:
        if not self._is_full:
            self._is_full = True
            log.warning(
                "connections are refused: all of them have requests under way",
                connections=len(self._all),
                address=address,
                of_address=self._number[address],
            )
