"""HTTP/1.1 by uvicorn and httptools; but upgrades are declined, and every refusal is JSON."""

from __future__ import annotations

import sys
from typing import cast

from httptools import HttpParserUpgrade
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from spanloom.errors import Code, Reason, SpanloomError
from spanloom.model import uuid7
from spanloom.server import status
from spanloom.server.http.rest import TRANSPORT
from spanloom.server.middleware import REQUEST_ID, log_refusal

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

    def data_received(self, data: bytes) -> None:
        while data:
            self._received, self._again = data, b""
            super().data_received(data)
            data = self._again

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
        request_id = uuid7()
        log_refusal(_NOT_HTTP, request_id, transport=TRANSPORT, target="not HTTP")
        if self._received.startswith(_HTTP_2):
            # A client that speaks HTTP/2 without asking reads no HTTP/1.1.
            self.transport.write(_GO_AWAY)
            self.transport.close()
            return
        body = status.rest_body(_NOT_HTTP, request_id)
        self.transport.write(
            STATUS_LINE[400]
            + b"content-type: application/json\r\nconnection: close\r\n"
            + f"{REQUEST_ID}: {request_id}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        self.transport.close()
