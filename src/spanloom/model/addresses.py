"""Network addresses."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# The address of one `for` of RFC 7239, which may be quoted, and have a port.
_FOR: Final = re.compile(r'(?i)for="?\[?([0-9a-f:.]+?)\]?(?::\d+)?"?\s*(?:;|$)')


@lru_cache(maxsize=256)
def is_loopback(host: str) -> bool:
    """Whether a host name or IP address, without port and brackets, is this machine's own."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def networks(text: str) -> tuple[Network, ...]:
    """The networks in a list like `10.0.0.0/8, ::1`, separated by commas.

    Raises:
        ValueError: One is no network; the text says which.
    """
    return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())


@lru_cache(maxsize=1024)
def is_within(host: str, among: tuple[Network, ...]) -> bool:
    """Whether a host is an IP address in one of the networks."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    return any(address in network for network in among)


def client_of(forwarded: Sequence[str], trusted: tuple[Network, ...]) -> str:
    """The address of the client for which proxies have passed on a request; "" if they name none.

    Args:
        forwarded: What `X-Forwarded-For` or `Forwarded` lists, the last proxy's entry last. Only
            what trusted proxies have added counts: an entry before may be the client's own.
    """
    for entry in reversed(forwarded):
        host = entry.strip()
        if "=" in host:
            match = _FOR.search(host)
            host = match[1] if match else ""
        elif "." in host and host.count(":") == 1:  # IPv4 with a port
            host = host.partition(":")[0]
        host = host.removeprefix("[").partition("]")[0]
        if not _is_address(host):
            return ""
        if not is_within(host, trusted):
            return host
    return ""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
