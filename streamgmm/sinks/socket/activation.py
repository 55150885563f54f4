"""Socket activation: listening sockets inherited from the service manager (sd_listen_fds(3)).

Clients may connect before the daemon is up, while it restarts, and when it does not run at all. The service manager
owns the socket, so this module never binds, locks or removes it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import MutableMapping

from streamgmm.errors import ConfigError
from streamgmm.sinks.socket.listeners import unix_peer

FIRST_FD = 3
"""First inherited descriptor, after those of stdin, stdout and stderr (SD_LISTEN_FDS_START)."""

MAX_FDS = 16
"""Most inherited sockets that are used; a larger number is a mistake."""


class InheritedListener:
    """A listening UNIX socket that belongs to the process that started this one.

    Args:
        server: the listening socket.

    Attributes:
        uri: `unix://PATH` of the path that the socket is bound to.
        address: equal to `uri`.
    """

    def __init__(self, server: socket.socket) -> None:
        self._server = server
        self.uri = f"unix://{server.getsockname()}"
        self.address = self.uri

    def open(self) -> socket.socket:
        """Return a duplicate of the socket, so that the original stays open when the duplicate is closed."""
        return self._server.dup()

    def peer_of(self, connection: socket.socket) -> str:
        """Return process and user of the client, for the log."""
        return unix_peer(connection)

    def is_in_place(self) -> bool:
        """Return True: the owner is responsible for the path."""
        return True

    def close(self) -> None:
        """Do nothing: the socket stays with its owner."""


def take_inherited(environ: MutableMapping[str, str] = os.environ, first_fd: int = FIRST_FD) -> list[InheritedListener]:
    """Return the sockets that LISTEN_FDS and LISTEN_PID announce to this process; remove both from `environ`.

    Args:
        environ: environment variables; LISTEN_FDNAMES gives the names of the sockets in errors.
        first_fd: first descriptor of the sockets.

    Raises:
        ConfigError: lists each one that is not a listening UNIX stream socket at a path. Other kinds would admit
            more readers than this program admits by default.
    """
    n_fds, pid = environ.pop("LISTEN_FDS", ""), environ.pop("LISTEN_PID", "")
    names = environ.pop("LISTEN_FDNAMES", "").split(":")
    # A parent process may have left the variables in the environment: they are for the process of that id only.
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
    # Inherited descriptors are inheritable by default, and the capture process must not get them.
    os.set_inheritable(fd, False)
    server = socket.socket(fileno=fd)
    is_listening = server.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    # Detached if it is rejected: the descriptor belongs to its owner, and would be closed with the object.
    if server.family != socket.AF_UNIX or server.type != socket.SOCK_STREAM or not is_listening:
        server.detach()
        raise ValueError("is not a listening UNIX stream socket (ListenStream=/PATH)")
    path = server.getsockname()
    # Python gives abstract addresses as bytes.
    if not isinstance(path, str) or not path:
        server.detach()
        raise ValueError("is abstract, and anybody could connect; give it a path")
    return InheritedListener(server)
