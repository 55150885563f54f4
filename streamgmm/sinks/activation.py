"""Sockets that were open before this process was: socket activation (sd_listen_fds(3)).

Clients may connect before the daemon is up, while it is restarted, and when it is not there at all:
whoever made the socket keeps it, so it is never bound, locked or removed here.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

from streamgmm.errors import ConfigError
from streamgmm.sinks.listeners import unix_peer

FIRST_FD = 3
"""The first inherited descriptor, after those of stdin, stdout and stderr (SD_LISTEN_FDS_START)."""

MAX_FDS = 16
"""More than that is no number of sockets that anybody meant."""


class InheritedListener:
    """A listening UNIX socket that belongs to whoever started this process.

    Args:
        server: the socket.

    Attributes:
        uri: `unix://PATH` of the path that it is bound to.
    """

    def __init__(self, server: socket.socket) -> None:
        self._server = server
        self.uri = f"unix://{server.getsockname()}"
        self.address = self.uri

    def open(self) -> socket.socket:
        """The socket; a duplicate, so that the place stays claimed when it is closed."""
        return self._server.dup()

    def peer_of(self, connection: socket.socket) -> str:
        """Process and user of the client."""
        return unix_peer(connection)

    def is_in_place(self) -> bool:
        """Always: where clients look for it is the owner's business."""
        return True

    def close(self) -> None:
        """Nothing is removed: the socket stays with its owner."""


def take_inherited(environ: MutableMapping[str, str] = os.environ, first_fd: int = FIRST_FD) -> list[InheritedListener]:
    """The sockets that LISTEN_FDS and LISTEN_PID announce to this process; taken out of `environ`.

    Args:
        environ: where they are announced; LISTEN_FDNAMES names them in errors.
        first_fd: the first of their descriptors.

    Raises:
        ConfigError: with each one that is no listening UNIX stream socket at a path. Others would be open to
            more readers than this program lets in by itself.
    """
    n_fds, pid = environ.pop("LISTEN_FDS", ""), environ.pop("LISTEN_PID", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    if pid != str(os.getpid()) or not n_fds.isdecimal():
        return []
    listeners, problems = [], []
    for i_fd in range(min(int(n_fds), MAX_FDS)):
        try:
            listeners.append(_adopt(first_fd + i_fd))
        except (OSError, ValueError) as error:
            name = names[i_fd] if i_fd < len(names) else ""
            reason = error.strerror if isinstance(error, OSError) else error
            problems.append(f"inherited socket {name or first_fd + i_fd}: {reason}")
    if problems:
        raise ConfigError(problems)
    return listeners


def _adopt(fd: int) -> InheritedListener:
    # Those of another program's configuration: the capture process must not get them.
    os.set_inheritable(fd, False)
    server = socket.socket(fileno=fd)
    is_listening = server.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    if server.family != socket.AF_UNIX or server.type != socket.SOCK_STREAM or not is_listening:
        server.detach()
        raise ValueError("is not a listening UNIX stream socket (ListenStream=/PATH)")
    path = server.getsockname()
    if not isinstance(path, str) or not path:
        server.detach()
        raise ValueError("is abstract, and anybody could connect; give it a path")
    return InheritedListener(server)
