"""Texts in HTTP headers and gRPC metadata."""

from __future__ import annotations


def as_text(value: bytes) -> str:
    """The text in a header's bytes: UTF-8 if it is valid, else Latin-1 (RFC 9110, 5.5)."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


# The caller's address among the headers of a call. No header has such a name.
PEER = ":peer"


def peer_of(address: str) -> str:
    """The host of an address as gRPC writes it: `ipv4:10.0.0.1:4711`, `ipv6:%5B::1%5D:4711`."""
    return address.partition(":")[2].rpartition(":")[0] or address
