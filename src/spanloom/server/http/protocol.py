"""HTTP/1.1 as uvicorn speaks it by httptools, but for two things: upgrades are declined, and every refusal is JSON."""

from __future__ import annotations

import sys
from typing import cast

from httptools import HttpParserUpgrade
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from spanloom.errors import Code, Reason, SpanloomError
from spanloom.model import uuid7
from spanloom.server import status

_NOT_HTTP = SpanloomError(
    Code.INVALID_ARGUMENT, Reason.MALFORMED_BODY, "the request is not valid HTTP/1.1"
)


class HttpProtocol(HttpToolsProtocol):
    """One connection.

    A client may offer to go on in another protocol, and a server may take the request as it is (RFC 9110, 7.8): Java's
    HttpClient offers HTTP/2 with its first request. The parser takes all that follows such an offer for the other protocol, so
    the request would lose its body. It is read again without the offer.
    """

    def data_received(self, data: bytes) -> None:
        while data:
            self._received, self._again = data, b""
            super().data_received(data)
            data = self._again

    def _should_upgrade(self) -> bool:
        """True: handle the offer below, and nothing of the request before."""
        return any(name == b"upgrade" for name, _ in self.headers)

    def handle_websocket_upgrade(self) -> None:
        upgrade = cast(HttpParserUpgrade, sys.exception())  # we are called where it is handled
        rest = self._received[upgrade.args[0] :]
        head = [b"%s %s HTTP/1.1\r\n" % (self.scope["method"].encode(), self.url)]
        head += [b"%s: %s\r\n" % header for header in self.headers if header[0] != b"upgrade"]
        self._again = b"".join([*head, b"\r\n", rest])

    def _unsupported_upgrade_warning(self) -> None:
        pass  # CONNECT; it is answered as any other wrong method

    def send_400_response(self, msg: str) -> None:
        request_id = uuid7()
        body = status.rest_body(_NOT_HTTP, request_id)
        self.transport.write(
            STATUS_LINE[400]
            + b"content-type: application/json\r\nconnection: close\r\n"
            + f"x-request-id: {request_id}\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        self.transport.close()
