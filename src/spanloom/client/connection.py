"""Where a server is, and how a call authenticates."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import grpc

DEFAULT_URL = "http://127.0.0.1:4317"
_OPTIONS = (
    # An answer of a method of a vendor's API has no bound.
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
    # A connection that is lost without a word is noticed.
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    # A server that restarts is found again soon.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    # The client itself repeats calls.
    ("grpc.enable_retries", 0),
)
# By scheme, whether it has TLS.
_HAS_TLS = {"http": False, "grpc": False, "https": True, "grpcs": True}
Option = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Connection:
    """A target of gRPC, with the credentials of TLS (None: plain text) and the metadata of calls.

    `repr` does not show the key.
    """

    target: str
    credentials: grpc.ChannelCredentials | None
    project: str
    metadata: tuple[tuple[str, str | bytes], ...]

    def __repr__(self) -> str:
        return f"Connection({self.target!r})"

    @property
    def options(self) -> tuple[Option, ...]:
        return _OPTIONS


def has_tls(url: str) -> bool:
    """Whether the URL asks for TLS."""
    return _HAS_TLS.get(url.partition("://")[0], False)


def tls(
    *, ca: str | None = None, certificate: str | None = None, key: str | None = None
) -> grpc.ChannelCredentials:
    """The credentials of TLS, of files in PEM.

    Args:
        ca: The authorities that may have issued the server's certificate. Default: `SPANLOOM_CA`,
            else those that gRPC brings.
        certificate: The client's certificate, and behind it those of its issuers, for a server that
            asks for one. Default: `SPANLOOM_CLIENT_CERTIFICATE`.
        key: Its private key. Default: `SPANLOOM_CLIENT_KEY`.

    Raises:
        ValueError: A file cannot be read, or one of certificate and key is missing.
    """
    named = {
        "SPANLOOM_CA": ca,
        "SPANLOOM_CLIENT_KEY": key,
        "SPANLOOM_CLIENT_CERTIFICATE": certificate,
    }
    read: list[bytes | None] = []
    for variable, given in named.items():
        path = given or os.environ.get(variable)
        try:
            read.append(Path(path).read_bytes() if path else None)
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    if (read[1] is None) != (read[2] is None):
        raise ValueError("a client's certificate and its key belong together: give both or none")
    return grpc.ssl_channel_credentials(*read)


def connection(
    url: str | None,
    key: str | None,
    project: str | None,
    credentials: grpc.ChannelCredentials | None,
) -> Connection:
    """A connection by what is given, else by `SPANLOOM_URL`, `SPANLOOM_KEY`, `SPANLOOM_PROJECT`.

    Args:
        url: `http://HOST:PORT`, `https://HOST:PORT` or `HOST:PORT`, the address of gRPC. `grpc` and
            `grpcs` mean the same as `http` and `https`.
        project: The project of an instance key's calls.
        credentials: Those of TLS. Default: with `https`, those of `tls()`.

    Raises:
        ValueError: The URL is none, or the key or the project cannot be sent.
    """
    given = url or os.environ.get("SPANLOOM_URL") or DEFAULT_URL
    parts = urlsplit(given if "//" in given else f"//{given}", scheme="http")
    try:
        has_port = parts.port is not None
    except ValueError:
        has_port = False
    if parts.scheme not in _HAS_TLS or not has_port or parts.path.strip("/"):
        raise ValueError(f"the URL must be http://HOST:PORT or https://HOST:PORT, not {given!r}")
    if has_tls(given) and credentials is None:
        credentials = tls()
    metadata: list[tuple[str, str | bytes]] = []
    if key := key if key is not None else os.environ.get("SPANLOOM_KEY"):
        if not (key.isascii() and key.isprintable()):
            raise ValueError("the key has characters that no key has")
        metadata.append(("authorization", f"Bearer {key}"))
    project = project or os.environ.get("SPANLOOM_PROJECT") or ""
    if project:
        metadata.append(("x-spanloom-project-bin", project.encode()))
    return Connection(parts.netloc.rpartition("@")[2], credentials, project, tuple(metadata))
