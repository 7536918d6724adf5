"""Listening sockets, for one process or for several."""

from __future__ import annotations

import socket
import time

from spanloom.errors import SetupError

_BACKLOG = 2048
# How long the workers of a server that was just killed may keep its port.
_PATIENCE_SECONDS = 1.0


def listen(
    address: str, *, shared: bool = False, patience: float = _PATIENCE_SECONDS
) -> socket.socket:
    """A listening TCP socket on HOST:PORT.

    Args:
        address: An IPv6 host is in brackets; port 0 asks for a free one.
        shared: Other processes listen on the same port, each on a socket of its own: the kernel
            distributes connections among them. On one socket that all inherit, the first process
            that is free would accept all connections that wait, and keep them.
        patience: The seconds for which an address that is in use is tried again.

    Raises:
        SetupError: The address cannot be listened on; the text says why.
    """
    listener = _bound(address, shared=shared, patience=patience)
    listener.listen(_BACKLOG)
    return listener


def reserve(address: str) -> socket.socket:
    """A bound socket that keeps the port for processes which listen on it with SO_REUSEPORT.

    As `listen` otherwise. The option is set after bind, so that two servers do not share a port by
    mistake.
    """
    holder = _bound(address)
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return holder


def with_port(address: str, bound: socket.socket) -> str:
    """The address with the port that was bound."""
    return f"{address.rpartition(':')[0]}:{bound.getsockname()[1]}"


def _bound(
    address: str, *, shared: bool = False, patience: float = _PATIENCE_SECONDS
) -> socket.socket:
    host, _, port = address.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    deadline = time.monotonic() + patience
    while True:
        family = socket.AF_INET6 if ":" in bare else socket.AF_INET
        # The protocol is not left 0: asyncio sets TCP_NODELAY only on sockets that name TCP.
        # Without it, each small response on a kept connection waits 40 ms for the client's ACK.
        bound = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
        try:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            bound.bind((bare, int(port)))
        except OSError as error:
            bound.close()
            if time.monotonic() > deadline:
                reason = error.strerror or str(error)
                raise SetupError(f"cannot listen on {address}: {reason}") from None
            time.sleep(0.05)
        else:
            return bound
