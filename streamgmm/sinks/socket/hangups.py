"""Distinguish a client that has closed only its sending half from one that is gone."""

from __future__ import annotations

import ipaddress
import select
import socket
import struct
import sys
from pathlib import Path

_TABLES = "/proc/self/net"
_INODE = 9
"""Column of the table with the inode of the socket, or 0 if no process holds it."""


def is_hung_up(connection: socket.socket) -> bool:
    """Return whether both directions are closed or the connection was reset; True on systems that cannot report it."""
    if sys.platform == "win32":
        return True
    poll = select.poll()
    poll.register(connection, 0)  # hang-ups and errors are reported whatever events are requested (poll(2))
    return bool(poll.poll(0))


def is_abandoned(connection: socket.socket) -> bool:
    """Return whether the other end is a TCP socket of this machine that no process holds any more.

    A closed connection and a closed sending half look the same at this end, but differ in the table of the kernel
    (/proc/net/tcp, proc(5)). Returns False if that is unknown; the next record or a keepalive then detects it.
    """
    try:
        ours, theirs = _table_address(connection.getsockname()), _table_address(connection.getpeername())
        lines = [line.split() for name in ("tcp", "tcp6") for line in Path(_TABLES, name).read_text().splitlines()]
    except (OSError, ValueError):
        return False
    # The entry of the other end: its own address (column 1) is the peer's here, its remote one (column 2) is ours.
    inodes = [line[_INODE] for line in lines if line[1].endswith(theirs) and line[2].endswith(ours)]
    return "0" in inodes


def _table_address(address: object) -> str:
    """Format an address as in the table: 32-bit words and the port; an IPv4 address may be the end of an IPv6 one.

    Raises:
        ValueError: `address` is that of a UNIX socket.
    """
    if not isinstance(address, tuple):
        raise ValueError("is not an address of TCP")
    # Without the zone of a link-local address, as in fe80::1%eth0.
    packed = ipaddress.ip_address(address[0].partition("%")[0]).packed
    # The kernel prints each word in the byte order of the machine.
    words = struct.unpack(f"={len(packed) // 4}I", packed)
    return "".join(f"{word:08X}" for word in words) + f":{address[1]:04X}"
