"""Networks of clients: those that are trusted, and those whose connections begin with the PROXY protocol."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from fsm.mail.errors import ConfigError

__all__ = ["Network", "contains", "parsed_networks", "plain"]

Network: TypeAlias = IPv4Network | IPv6Network


def parsed_networks(texts: Sequence[str], what: str) -> tuple[Network, ...]:
    """Parse networks such as 10.0.0.0/8, or addresses.  ConfigError names `what`."""
    networks: list[Network] = []
    for text in texts:
        try:
            networks.append(ip_network(text.strip()))
        except ValueError as error:
            raise ConfigError(f"{what} is an address or a network, such as 10.0.0.0/8 or ::1: {error}") from None
    return tuple(networks)


def plain(host: str) -> str:
    """Return a client's address without its zone; an IPv4 address that is mapped into IPv6 as IPv4."""
    host = host.partition("%")[0]
    address = _parsed(host)
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address or host)


def contains(networks: Sequence[Network], host: str) -> bool:
    """Return whether the address, as `plain` returns it, is in one of the networks."""
    if not networks or (address := _parsed(host)) is None:
        return False
    return any(address in network for network in networks)


@lru_cache(maxsize=4096)
def _parsed(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
