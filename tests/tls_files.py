"""Certificates that are made for a test."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc
import trustme


@dataclass
class Authority:
    """An authority, and what it issues, as files in a directory."""

    directory: Path

    def __post_init__(self) -> None:
        self.directory.mkdir(exist_ok=True)
        self._ca = trustme.CA()
        self.ca = str(self.directory / "ca.pem")
        self._ca.cert_pem.write_to_path(self.ca)

    def issue(self, name: str = "server", *identities: str) -> tuple[str, str]:
        """The paths of a new certificate and of its key, which take the place of earlier ones."""
        made = self._ca.issue_cert(*(identities or ("127.0.0.1", "localhost")))
        certificate, key = self.directory / f"{name}.crt", self.directory / f"{name}.key"
        certificate.write_bytes(b"".join(pem.bytes() for pem in made.cert_chain_pems))
        made.private_key_pem.write_to_path(str(key))
        return str(certificate), str(key)

    def context(self, certificate: tuple[str, str] | None = None) -> ssl.SSLContext:
        """For clients that trust this authority, with a certificate of their own."""
        context = ssl.create_default_context(cafile=self.ca)
        if certificate:
            context.load_cert_chain(*certificate)
        return context

    def credentials(self, certificate: tuple[str, str] | None = None) -> grpc.ChannelCredentials:
        """The same for gRPC."""
        chain, key = (Path(path).read_bytes() for path in certificate or (self.ca, self.ca))
        pair = (key, chain) if certificate else (None, None)
        return grpc.ssl_channel_credentials(Path(self.ca).read_bytes(), *pair)
