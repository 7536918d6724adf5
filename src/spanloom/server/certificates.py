"""The certificate of the server and the authority of its clients, as files that may change."""

from __future__ import annotations

import ssl
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import structlog

from spanloom.errors import SetupError

log = structlog.get_logger("spanloom")

# How often a new handshake looks whether the files have changed.
_LOOK_SECONDS: Final = 1.0


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Paths of files in PEM.

    Attributes:
        certificate: The server's certificate, and behind it those of its issuers.
        key: Its private key, without a password.
        client_ca: Authorities, one of which must have issued the certificate of each client;
            "" if clients need none.
    """

    certificate: str
    key: str
    client_ca: str = ""

    def read(self) -> tuple[bytes, ...]:
        """The contents; OSError where one cannot be read."""
        paths = (self.certificate, self.key, self.client_ca)
        return tuple(Path(path).read_bytes() if path else b"" for path in paths)


@dataclass(frozen=True, slots=True)
class Identity:
    """What handshakes use: a context for HTTP, and the same in PEM for gRPC."""

    context: ssl.SSLContext
    certificate: bytes
    key: bytes = field(repr=False)
    client_ca: bytes


class Certificates:
    """The newest identity that the files have. Any thread may ask.

    Files that are broken, or that do not belong together, are logged once, and the identity before
    them stays.

    Raises:
        SetupError: The files are broken at the start.
    """

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self.needs_client = bool(files.client_ca)
        self._lock = threading.Lock()
        self._look_at = time.monotonic() + _LOOK_SECONDS
        try:
            self._seen: tuple[bytes, ...] | None = files.read()
            self._identity = _load(files, self._seen)
        except (OSError, ValueError) as error:
            raise SetupError(f"the files of TLS cannot be used: {error}") from None

    def latest(self) -> Identity:
        """The identity for a new handshake."""
        with self._lock:
            now = time.monotonic()
            if now >= self._look_at:
                self._look_at = now + _LOOK_SECONDS
                self._look()
            return self._identity

    def _look(self) -> None:
        seen: tuple[bytes, ...] | None = None
        try:
            seen = self._files.read()
            if seen == self._seen:
                return
            self._identity = _load(self._files, seen)
            log.info("the certificate of TLS is loaded again", file=self._files.certificate)
        except (OSError, ValueError) as error:
            if seen is None and self._seen is None:
                return  # the log has it already
            log.error("new files of TLS cannot be used; the earlier ones stay", cause=str(error))
        self._seen = seen


def _load(files: TlsFiles, read: tuple[bytes, ...]) -> Identity:
    """Raises OSError or ValueError for files that cannot be used together."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(files.certificate, files.key, _no_password)
    if files.client_ca:
        context.load_verify_locations(files.client_ca)
        # Health is answered without a certificate; `spanloom.server.http.tls` refuses the rest.
        context.verify_mode = ssl.CERT_OPTIONAL
    # The module ssl reads paths only. What changed meanwhile is not what gRPC would get.
    if files.read() != read:
        raise ValueError("the files change at this moment")
    return Identity(context, *read)


def _no_password() -> str:
    raise ValueError("the private key has a password; give one without")
