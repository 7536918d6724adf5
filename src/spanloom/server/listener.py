"""A socket that listens, or the reason why there is none."""

from __future__ import annotations

import socket

from spanloom.errors import SetupError

_BACKLOG = 2048


def listen(address: str) -> socket.socket:
    """A listening TCP socket on HOST:PORT (an IPv6 host in brackets; port 0 asks for a free one). SetupError says why not."""
    host, _, port = address.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    family = socket.AF_INET6 if ":" in bare else socket.AF_INET
    try:
        return socket.create_server((bare, int(port)), family=family, backlog=_BACKLOG)
    except OSError as error:
        # create_server adds the address to the system's text; we have it already.
        reason = (error.strerror or str(error)).partition(" (while")[0]
        raise SetupError(f"cannot listen on {address}: {reason}") from None
