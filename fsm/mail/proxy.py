"""The PROXY protocol, versions 1 and 2: a proxy before the server says for which client it opened a connection.

Theory.
1. The header comes first, also before TLS, and from a proxy always: without one the connection is closed.  From anybody
   else a header is no command of SMTP; otherwise clients could give themselves any address.
2. Version 1 is a line of at most 107 octets, version 2 a signature, four octets and as many as they say.  Not one octet
   behind the header is read.
3. LOCAL and UNKNOWN are connections of the proxy itself, such as a health check: the address is the proxy's.
"""

from __future__ import annotations

import asyncio
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Final

__all__ = ["NoHeader", "announced", "parsed_block", "parsed_line"]

SIGNATURE: Final = b"\r\n\r\n\0\r\nQUIT\n"
LONGEST: Final = 107
PATIENCE: Final = 5.0
"""Seconds in which the header must come."""
FAMILIES: Final = {1: (4, IPv4Address), 2: (16, IPv6Address)}


class NoHeader(Exception):
    """The connection does not begin with a header.  The text is one sentence."""


def parsed_line(text: bytes) -> str | None:
    """Return the client's address of a header of version 1, or None where it is the proxy's own connection."""
    words = text.removesuffix(b"\r\n").decode("ascii", "replace").split(" ")
    if words[:2] == ["PROXY", "UNKNOWN"]:
        return None
    try:
        if words[0] != "PROXY" or words[1] not in ("TCP4", "TCP6") or len(words) != 6:
            raise ValueError
        source, _ = (ip_address(word) for word in words[2:4])
        ports = [int(word) for word in words[4:]]
        if source.version != int(words[1][-1]) or not all(0 <= port <= 65535 for port in ports):
            raise ValueError
    except (ValueError, IndexError):
        raise NoHeader("it does not begin with a header of the PROXY protocol") from None
    return str(source)


def parsed_block(head: bytes, rest: bytes) -> str | None:
    """Return the same of a header of version 2: its first 16 octets, and those that follow them."""
    version, command, family = head[12] >> 4, head[12] & 15, head[13] >> 4
    if version != 2 or command not in (0, 1):
        raise NoHeader("the header of the PROXY protocol is of another version")
    if command == 0 or family not in FAMILIES:
        return None
    length, kind = FAMILIES[family]
    if len(rest) < 2 * length + 4:
        raise NoHeader("the header of the PROXY protocol is too short")
    return str(kind(rest[:length]))


async def announced(connection: socket.socket) -> str | None:
    """Read the header from a new connection, and return the client's address.  NoHeader."""
    loop = asyncio.get_running_loop()

    async def read(wanted: int) -> bytes:
        data = b""
        while len(data) < wanted:
            piece = await loop.sock_recv(connection, wanted - len(data))
            if not piece:
                raise NoHeader("it ended before the header of the PROXY protocol")
            data += piece
        return data

    try:
        async with asyncio.timeout(PATIENCE):
            head = await read(len(SIGNATURE))
            if head == SIGNATURE:
                head += await read(4)
                return parsed_block(head, await read(int.from_bytes(head[14:])))
            while not head.endswith(b"\r\n") and len(head) < LONGEST and head.startswith(b"PROXY "):
                head += await read(1)
            return parsed_line(head)
    except TimeoutError:
        raise NoHeader("the header of the PROXY protocol did not come in time") from None
