"""How to tell a client that has closed its sending half, and listens on, from one that has gone."""

from __future__ import annotations

import ipaddress
import select
import socket
import struct
import sys
from pathlib import Path

_TABLES = "/proc/self/net"
_INODE = 9
"""Column of the table: the inode of a socket that some process holds, else 0."""


def is_hung_up(connection: socket.socket) -> bool:
    """Return whether both directions are over, or the connection was reset; True where the system cannot tell."""
    if sys.platform == "win32":
        return True
    poll = select.poll()
    poll.register(connection, 0)  # a hang-up and an error are reported whatever is asked for (poll(2))
    return bool(poll.poll(0))


def is_abandoned(connection: socket.socket) -> bool:
    """Return whether the other end is a TCP socket of this machine that no process holds any more.

    Its end and the end of its sending half alone look the same from here; the table of the kernel tells them apart
    (/proc/net/tcp, proc(5)). False where that cannot be known: then the next record shows it, or a keepalive.
    """
    try:
        ours, theirs = _table_address(connection.getsockname()), _table_address(connection.getpeername())
        lines = [line.split() for name in ("tcp", "tcp6") for line in Path(_TABLES, name).read_text().splitlines()]
    except (OSError, ValueError):
        return False
    inodes = [line[_INODE] for line in lines if line[1].endswith(theirs) and line[2].endswith(ours)]
    return "0" in inodes


def _table_address(address: object) -> str:
    """Write an address as the table does: words of 32 bits and the port; an IPv4 one may follow the prefix of IPv6.

    Raises:
        ValueError: it is that of a UNIX socket.
    """
    if not isinstance(address, tuple):
        raise ValueError("is not an address of TCP")
    packed = ipaddress.ip_address(address[0].partition("%")[0]).packed
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words) + f":{address[1]:04X}"
