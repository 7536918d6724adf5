"""The door of the HTTP port: a thread that accepts connections and answers health by itself."""

from __future__ import annotations

import contextlib
import re
import selectors
import socket
import ssl
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Final, NamedTuple

import structlog

from spanloom.server.certificates import Certificates
from spanloom.server.health import Health
from spanloom.server.http.tls import Tls
from spanloom.server.middleware import REQUEST_ID, request_id_of

log = structlog.get_logger("spanloom.http")

# How long the first request of a new connection may take to come. Later it is the event loop's.
_FIRST_SECONDS: Final = 0.1
# The same with TLS, whose handshake comes before it, and of how many connections at once.
_FIRST_TLS_SECONDS: Final = 1.0
_MOST_NEW: Final = 512
_KEPT_SECONDS: Final = 75.0
# Connections that ask for health and are kept for more of it; further ones are closed.
_MOST_KEPT: Final = 128
_ACCEPTED_AT_ONCE: Final = 64
_RETRY_SECONDS: Final = 1.0
_LOG_SECONDS: Final = 60.0
_MOST_HEAD: Final = 2048
_MOST_SEALED: Final = 16_384
_HEAD: Final = re.compile(
    rb"(GET|HEAD) /(healthz|readyz) HTTP/1\.1\r\n((?:[A-Za-z0-9-]+:[\t -~]*\r\n)*)\r\n"
)
# Requests with these headers have answers that depend on more than health.
_OTHER_HEADERS: Final = re.compile(
    rb"(?im)^(?:content-length|transfer-encoding|expect|upgrade|origin):"
)
_CLOSES: Final = re.compile(rb"(?im)^connection:[ \t]*close[ \t]*\r$")
_REQUEST_ID: Final = re.compile(rb"(?im)^x-request-id:[ \t]*([^\r\n]*?)[ \t]*\r$")


class _Asked(NamedTuple):
    """A request for health."""

    size: int  # of its bytes
    path: str
    is_head: bool
    closes: bool
    request_id: str


def asked(data: bytes) -> _Asked | None:
    """What the first bytes of a connection ask for; None if it is not plainly health."""
    match = _HEAD.match(data)
    if match is None or _OTHER_HEADERS.search(match[3]):
        return None
    given = _REQUEST_ID.findall(match[3])
    metadata = {REQUEST_ID: given[-1].decode()} if given else {}
    return _Asked(
        match.end(),
        match[2].decode(),
        match[1] == b"HEAD",
        _CLOSES.search(match[3]) is not None,
        request_id_of(metadata),
    )


class _Plain:
    """What a connection sends and is sent, as it is.

    Its methods raise BlockingIOError where nothing has come, another OSError where nothing will.
    """

    tls: Tls | None = None

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def peek(self) -> bytes:
        """The first bytes that were not taken, without taking them."""
        return self._connection.recv(_MOST_HEAD, socket.MSG_PEEK)

    def take(self, size: int) -> None:
        self._connection.recv(size)

    def send(self, data: bytes) -> bool:
        """Whether all could be sent at once."""
        return self._connection.send(data) == len(data)


class _Sealed(_Plain):
    """The same within TLS."""

    def __init__(self, connection: socket.socket, tls: Tls) -> None:
        super().__init__(connection)
        self.tls: Tls = tls

    def peek(self) -> bytes:
        while not self.tls.plain and not self.tls.is_ended:
            received = self._connection.recv(_MOST_SEALED)
            if not received:
                raise ConnectionResetError
            try:
                self.tls.feed(received)
            except ssl.SSLError as error:
                with contextlib.suppress(BlockingIOError):
                    self._connection.send(self.tls.last_words(error))
                raise ConnectionResetError from None
            if sealed := self.tls.sealed():
                self._send_sealed(sealed)
        return self.tls.plain

    def take(self, size: int) -> None:
        self.tls.plain = self.tls.plain[size:]

    def send(self, data: bytes) -> bool:
        sealed = self.tls.sealed(data)
        return self._connection.send(sealed) == len(sealed)

    def _send_sealed(self, sealed: bytes) -> None:
        if self._connection.send(sealed) < len(sealed):
            raise ConnectionResetError  # a handshake fits into the buffer of a new connection


class Door:
    """Accepts connections in a thread, which waits neither for the event loop nor for the store.

    A connection that asks for health is answered here. Any other is handed over with all that it
    has sent.

    Args:
        hand_over: Takes a connection, and its TLS; is called in this thread.
        most_waiting: While so many connections were handed over and not taken, none is accepted.
        certificates: For TLS; None for plain HTTP.
    """

    def __init__(
        self,
        listener: socket.socket,
        health: Health,
        hand_over: Callable[[socket.socket, Tls | None], None],
        most_waiting: int,
        certificates: Certificates | None = None,
    ) -> None:
        self._listener, self._health, self._hand_over = listener, health, hand_over
        self._most_waiting = most_waiting
        self._certificates = certificates
        self._first_seconds = _FIRST_TLS_SECONDS if certificates else _FIRST_SECONDS
        self._handed = self._taken = 0
        # By connection, longest first: those that have sent nothing, and those that were answered.
        # The value is when that was.
        self._new: dict[socket.socket, float] = {}
        self._kept: dict[socket.socket, float] = {}
        self._accepts_at = 0.0
        self._told_at = -_LOG_SECONDS
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = socket.socketpair()
        self._is_closing = False
        self._thread = threading.Thread(target=self._run, name="spanloom-door", daemon=True)

    def open(self) -> None:
        """Begin to accept."""
        self._listener.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ)
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._thread.start()

    def taken(self) -> None:
        """The event loop has taken a connection that was handed over."""
        self._taken += 1

    def close(self) -> None:
        """Accept nothing more, and close what asks for health."""
        self._is_closing = True
        self._wake.send(b"1")
        self._thread.join(_RETRY_SECONDS)

    def _run(self) -> None:
        try:
            while not self._is_closing:
                self._step()
        finally:
            for each in (*self._new, *self._kept, self._listener, self._wake, self._woken):
                each.close()
            self._selector.close()

    def _step(self) -> None:
        now = time.monotonic()
        self._expire(now)
        accepts = now >= self._accepts_at and self._handed - self._taken < self._most_waiting
        self._listen(accepts)
        waits = _FIRST_SECONDS if self._new or not accepts else _RETRY_SECONDS
        for key, _ in self._selector.select(waits):
            if key.fileobj is self._listener:
                self._accept()
            elif isinstance(key.fileobj, socket.socket) and key.fileobj is not self._woken:
                self._answer(key.fileobj)

    def _listen(self, accepts: bool) -> None:
        listens = self._listener in self._selector.get_map()
        if accepts and not listens:
            self._selector.register(self._listener, selectors.EVENT_READ)
        elif listens and not accepts:
            self._selector.unregister(self._listener)

    def _expire(self, now: float) -> None:
        while (new := next(iter(self._new), None)) and (
            self._new[new] < now - self._first_seconds or len(self._new) > _MOST_NEW
        ):
            self._pass(new)
        while (kept := next(iter(self._kept), None)) and self._kept[kept] < now - _KEPT_SECONDS:
            self._forget(kept)
            kept.close()

    def _accept(self) -> None:
        for _ in range(_ACCEPTED_AT_ONCE):
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, ConnectionError):
                return
            except OSError as error:  # no descriptor is left
                self._accepts_at = time.monotonic() + _RETRY_SECONDS
                if time.monotonic() - self._told_at >= _LOG_SECONDS:
                    self._told_at = time.monotonic()
                    log.error("no connection can be accepted", cause=str(error))
                return
            connection.setblocking(False)
            self._new[connection] = time.monotonic()
            wire = _Plain(connection)
            if self._certificates:
                wire = _Sealed(connection, Tls(self._certificates))
            self._selector.register(connection, selectors.EVENT_READ, wire)
            self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        """Answer the requests that have come, or hand the connection over."""
        wire = self._wire(connection)
        try:
            while True:
                request = asked(wire.peek())
                if request is None:
                    self._pass(connection)
                    return
                wire.take(request.size)
                closes = request.closes or len(self._kept) >= _MOST_KEPT
                if not wire.send(self._health_as_http(request, closes)) or closes:
                    self._forget(connection)
                    connection.close()
                    return
                self._new.pop(connection, None)
                self._kept.pop(connection, None)
                self._kept[connection] = time.monotonic()
        except BlockingIOError:
            pass
        except OSError:
            self._forget(connection)
            connection.close()

    def _health_as_http(self, request: _Asked, closes: bool) -> bytes:
        is_well = self._health.is_alive if request.path == "healthz" else self._health.is_ready
        body = b'{"status":"ok"}' if is_well else b'{"status":"unavailable"}'
        connection = "connection: close\r\n" if closes else ""
        head = (
            f"HTTP/1.1 {'200 OK' if is_well else '503 Service Unavailable'}\r\n"
            f"date: {formatdate(usegmt=True)}\r\n"
            f"content-length: {len(body)}\r\n"
            "content-type: application/json\r\n"
            f"{REQUEST_ID}: {request.request_id}\r\n"
            f"{connection}\r\n"
        )
        return head.encode() + (b"" if request.is_head else body)

    def _pass(self, connection: socket.socket) -> None:
        tls = self._wire(connection).tls
        self._forget(connection)
        self._handed += 1
        self._hand_over(connection, tls)

    def _wire(self, connection: socket.socket) -> _Plain:
        wire: _Plain = self._selector.get_key(connection).data
        return wire

    def _forget(self, connection: socket.socket) -> None:
        self._selector.unregister(connection)
        self._new.pop(connection, None)
        self._kept.pop(connection, None)
