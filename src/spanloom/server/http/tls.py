"""TLS of one HTTP connection, which begins in the door's thread and goes on in the event loop.

asyncio's own TLS can begin only before the handshake, and the door has to read the first request
to know whether it is for health.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Any, Final, cast

import structlog

from spanloom.errors import Code, Reason, SpanloomError
from spanloom.server.certificates import Certificates
from spanloom.server.http.protocol import HttpProtocol, refusal

log = structlog.get_logger("spanloom.http")

_RECORD: Final = 16_384  # bytes, the longest of TLS
_NO_CERTIFICATE: Final = SpanloomError(
    Code.UNAUTHENTICATED,
    Reason.MISSING_CREDENTIALS,
    "this server requires a certificate of the client (mTLS)",
)
_NOT_TLS: Final = SpanloomError(
    Code.INVALID_ARGUMENT, Reason.MALFORMED_BODY, "this port speaks TLS: use https://"
)


class Tls:
    """What TLS makes of the bytes of a connection, without the connection.

    One thread at a time may use it.

    Attributes:
        plain: What the client has sent, decrypted, and not taken yet.
        is_ended: Whether the client has said that it sends no more.
    """

    def __init__(self, certificates: Certificates) -> None:
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.context = certificates.latest().context
        self._needs_client = certificates.needs_client
        self._object = self.context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._is_open = False
        self.plain = b""
        self.is_ended = False

    def feed(self, received: bytes) -> None:
        """Add what is in the received bytes to `plain`. To be followed by `sealed`.

        Raises:
            ssl.SSLError: The connection is to be closed after `last_words`.
        """
        self._incoming.write(received)
        parts = [self.plain]
        try:
            if not self._is_open:
                self._object.do_handshake()
                self._is_open = True
            while part := self._object.read(_RECORD):
                parts.append(part)
            self.is_ended = True
        except ssl.SSLZeroReturnError:  # as an empty part, once `farewell` was said
            self.is_ended = True
        except ssl.SSLWantReadError:
            pass
        self.plain = b"".join(parts)

    def sealed(self, data: bytes = b"") -> bytes:
        """What is to be sent: what TLS itself has to say, and the data, encrypted."""
        left = memoryview(data)
        while left:
            left = left[self._object.write(left) :]
        return self._outgoing.read()

    def farewell(self) -> bytes:
        """What tells the client that no more comes."""
        if self._is_open:
            # The client has not said so, too; or the connection is broken.
            with contextlib.suppress(ssl.SSLError):
                self._object.unwrap()
        return self._outgoing.read()

    def last_words(self, error: ssl.SSLError) -> bytes:
        """What a client gets whose bytes are not TLS, or none that is accepted."""
        log.info("a handshake of TLS failed", cause=error.reason or str(error))
        alert = self._outgoing.read()
        return refusal(_NOT_TLS) if error.reason == "HTTP_REQUEST" else alert

    @property
    def lacks_certificate(self) -> bool:
        """Whether the client must have a certificate, and has sent none. After the handshake."""
        return self._needs_client and self._object.getpeercert(binary_form=True) is None


class TlsTransport:
    """A transport of asyncio that encrypts what is written."""

    def __init__(self, transport: asyncio.Transport, tls: Tls) -> None:
        self._transport, self._tls = transport, tls

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        if name == "sslcontext":  # by which uvicorn knows that the scheme is https
            return self._tls.context
        return self._transport.get_extra_info(name, default)

    def write(self, data: bytes) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._tls.sealed(data))

    def close(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(self._tls.farewell())
            self._transport.close()


class TlsProtocol(asyncio.Protocol):
    """Decrypts what comes, for the protocol of HTTP."""

    def __init__(self, inner: HttpProtocol, tls: Tls) -> None:
        self._inner, self._tls = inner, tls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        made = TlsTransport(self._transport, self._tls)
        self._inner.connection_made(cast(asyncio.Transport, made))
        self._hand_on()  # what the door has read

    def data_received(self, data: bytes) -> None:
        try:
            self._tls.feed(data)
        except ssl.SSLError as error:
            self._transport.write(self._tls.last_words(error))
            self._transport.close()
            return
        if sealed := self._tls.sealed():
            self._transport.write(sealed)
        self._hand_on()

    def _hand_on(self) -> None:
        plain, self._tls.plain = self._tls.plain, b""
        if self._transport.is_closing():
            return
        if plain and self._tls.lacks_certificate:
            self._transport.write(self._tls.sealed(refusal(_NO_CERTIFICATE)))
            self._transport.write(self._tls.farewell())
            self._transport.close()
        elif plain:
            self._inner.data_received(plain)
        if self._tls.is_ended:
            self._transport.close()

    def eof_received(self) -> None:
        self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._inner.connection_lost(exc)
