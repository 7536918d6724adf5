"""HTTP/1.1 by uvicorn and httptools; but upgrades are declined, every refusal is JSON, and what a
client may send and wait for is bounded."""

from __future__ import annotations

import asyncio
import sys
from typing import Any, cast

import structlog
from httptools import HttpParserUpgrade
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from spanloom.errors import Code, Reason, SpanloomError
from spanloom.model import uuid7
from spanloom.model.addresses import client_of, is_within
from spanloom.server import status
from spanloom.server.call_log import log_refusal
from spanloom.server.http.connections import Connections, HttpLimits
from spanloom.server.http.joined import JoinedTransport
from spanloom.server.http.rest import TRANSPORT
from spanloom.server.middleware import REQUEST_ID

log = structlog.get_logger("spanloom.http")

_HTTP_2 = b"PRI * HTTP/2"
_USE_HTTP_1 = (
    b"HTTP/2 is not served on this port: use HTTP/1.1, or gRPC on its own port (4317 by default)"
)
# RFC 9113: an empty SETTINGS frame, then GOAWAY with HTTP_1_1_REQUIRED and a text for people.
_GO_AWAY = (
    b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"
    + (8 + len(_USE_HTTP_1)).to_bytes(3, "big")
    + b"\x07\x00\x00\x00\x00\x00"
    + bytes(4)
    + (0xD).to_bytes(4, "big")
    + _USE_HTTP_1
)
_NOT_HTTP = SpanloomError(
    Code.INVALID_ARGUMENT, Reason.MALFORMED_BODY, "the request is not valid HTTP/1.1"
)


class HttpProtocol(HttpToolsProtocol):
    """One connection.

    A client may offer to continue in another protocol, and a server may ignore the offer
    (RFC 9110, 7.8): Java's HttpClient offers HTTP/2 with its first request. The parser takes all
    bytes after such an offer for the other protocol, so the request would lose its body. It is
    parsed again without the offer.

    What it overrides is private to uvicorn. pyproject.toml bounds the version, and a test names the
    methods.
    """

    def __init__(self, *arguments: Any, open_connections: Connections, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._open = open_connections
        self.address = ""
        # Bytes of a head that is not whole, but for those that came behind another request.
        self._head = 0
        self._begun = 0  # requests
        # Since when the client is waited for: for a head, for a body, or to take an answer.
        self._head_since: float | None = None
        self._body_since: float | None = None
        self._stuck_since: float | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        joined = JoinedTransport(transport, self.loop)
        super().connection_made(cast(asyncio.Transport, joined))
        self.address = self.client[0] if self.client else ""
        if is_within(self.address, self._open.limits.trusted_proxies):
            self.address = ""
        self._head_since = self.loop.time()
        if not self._open.open(self):
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._open.closed(self)
        self._head_since = self._body_since = self._stuck_since = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        size = len(data)
        begun = self._begun
        is_between = not self._head and self._body_since is None
        if self._body_since is not None:
            self._body_since = self.loop.time()
        while data:
            self._received, self._again = data, b""
            super().data_received(data)
            data = self._again
        if self._head:
            if self._begun == begun or (is_between and self._begun == begun + 1):
                self._head += size  # all of it is of this head
            self._check_head(max(self._head, self._head_size()))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head = 1
        self._begun += 1
        if self._head_since is None:
            self._head_since = self.loop.time()

    def on_headers_complete(self) -> None:
        self._head, self._head_since = 0, None
        if self._check_head(self._head_size()):
            return
        self._body_since = self.loop.time()
        self._open.work(self)
        if not self.address and (client := self._forwarded()):
            self.scope["client"] = (client, 0)
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._body_since = None
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._open.rest(self)
        super().on_response_complete()

    def pause_writing(self) -> None:
        self._stuck_since = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        self._stuck_since = None
        super().resume_writing()

    def close(self) -> None:
        """Close the connection, which is between two requests."""
        self.transport.close()

    def check_time(self, now: float, limits: HttpLimits) -> None:
        """Close the connection if its client is too slow."""
        if self.transport.is_closing():
            return
        is_stream = self.cycle is not None and bool(self.cycle.chunked_encoding)
        patience = self._open.stream_write_seconds if is_stream else limits.write_seconds
        if _is_late(self._stuck_since, now, patience):
            log.info("a client that does not read is dropped", address=self.address)
            self.transport.abort()
        elif _is_late(self._head_since, now, limits.header_seconds):
            if self._head:
                self._refuse_late("headers", limits.header_seconds)
            else:  # a connection without a request
                self.transport.close()
        elif _is_late(self._body_since, now, limits.body_seconds) and not self.flow.read_paused:
            self._refuse_late("body", limits.body_seconds)

    def _forwarded(self) -> str:
        """The client of the request, as the proxy names it."""
        for wanted in (b"x-forwarded-for", b"forwarded"):
            entries = b",".join(value for name, value in self.headers if name == wanted)
            if entries:
                named = entries.decode("latin-1").split(",")
                return client_of(named, self._open.limits.trusted_proxies)
        return ""

    def _head_size(self) -> int:
        """The bytes of the URL and of the headers that are whole."""
        return len(self.url) + sum([len(name) + len(value) + 4 for name, value in self.headers])

    def _check_head(self, size: int) -> bool:
        """Refuse a head that is too large; whether it is."""
        limits = self._open.limits
        if len(self.url) > limits.url_bytes:
            refusal = _too_large("URL", "url_bytes", limits.url_bytes)
        elif size > limits.header_bytes:
            refusal = _too_large("head", "header_bytes", limits.header_bytes)
        else:
            return False
        self._refuse(refusal)
        return True

    def _refuse_late(self, part: str, seconds: float) -> None:
        error = SpanloomError(
            Code.DEADLINE_EXCEEDED,
            Reason.DEADLINE_EXCEEDED,
            f"the {part} of the request did not come in time: {seconds:g} seconds without it",
            metadata={f"limit_{part}_seconds": f"{seconds:g}"},
        )
        if self.cycle is not None and self.cycle.response_started:
            self.transport.abort()
        else:
            self._refuse(error)

    def _refuse(self, error: SpanloomError) -> None:
        """Answer with the error and close the connection, whose request is not handled."""
        if self.transport.is_closing():
            return
        self.transport.write(refusal(error))
        self.transport.close()

    def _should_upgrade(self) -> bool:
        """True for any offer, so that it is handled below, before any of the request."""
        return any(name == b"upgrade" for name, _ in self.headers)

    def handle_websocket_upgrade(self) -> None:
        upgrade = cast(HttpParserUpgrade, sys.exception())  # called in its except clause
        rest = self._received[upgrade.args[0] :]
        head = [b"%s %s HTTP/1.1\r\n" % (self.scope["method"].encode(), self.url)]
        head += [b"%s: %s\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        self._again = b"".join([*head, b"\r\n", rest])

    def _unsupported_upgrade_warning(self) -> None:
        pass  # CONNECT, which is answered as any other wrong method

    def send_400_response(self, msg: str) -> None:
        if self._received.startswith(_HTTP_2):
            # A client that speaks HTTP/2 without asking reads no HTTP/1.1.
            log_refusal(_NOT_HTTP, uuid7(), transport=TRANSPORT, target="not HTTP")
            self.transport.write(_GO_AWAY)
            self.transport.close()
            return
        self._refuse(_NOT_HTTP)


def refusal(error: SpanloomError) -> bytes:
    """The answer to what is no request, after which the connection is closed. It is logged."""
    request_id = uuid7()
    log_refusal(error, request_id, transport=TRANSPORT, target="not HTTP")
    body = status.rest_body(error, request_id)
    return (
        STATUS_LINE[status.http_status(error)]
        + b"content-type: application/json\r\nconnection: close\r\n"
        + f"{REQUEST_ID}: {request_id}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        + body
    )


def _is_late(since: float | None, now: float, seconds: float) -> bool:
    return since is not None and now > since + seconds


def _too_large(what: str, name: str, limit: int) -> SpanloomError:
    return SpanloomError(
        Code.RESOURCE_EXHAUSTED,
        Reason.REQUEST_TOO_LARGE,
        f"the {what} of the request is larger than {limit} bytes, the server's limit",
        metadata={f"limit_{name}": str(limit)},
    )
