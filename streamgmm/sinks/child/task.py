"""Tasks of children: the program that is run, and what it is told and given."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

import streamgmm


class Task:
    """A kind of child, and what it is to do; a kind that claims something for all its children overrides methods.

    Args:
        kind: one word, for messages.
        command: program that implements the protocol of `streamgmm.sinks.child.protocol`.
        request: first line for the child; may hold secrets, which so are on no command line.
        greeting_s: interval at which the child gets the current state again (s).
        takes_commands: whether the child may pass on commands to the daemon.
    """

    def __init__(
        self,
        kind: str,
        command: Sequence[str],
        request: msgspec.Struct,
        *,
        greeting_s: float = 60.0,
        takes_commands: bool = False,
    ) -> None:
        self.kind = kind
        self.command = command
        self.greeting_s = greeting_s
        self.takes_commands = takes_commands
        self._request = request

    def claim(self) -> None:
        """Claim what outlives a child.

        Raises:
            StreamgmmError: it cannot be had.
        """

    def release(self) -> None:
        """Give back what `claim` has claimed, if anything."""

    @property
    def request(self) -> msgspec.Struct:
        """Return the first line for the next child."""
        return self._request

    @property
    def fds(self) -> Sequence[int]:
        """Return the descriptors that the next child inherits under their numbers."""
        return ()


def command_of(module: str) -> tuple[str, ...]:
    """Return the command that runs `main` of a module of this package in a process of its own."""
    # Not `-m`: without this path, and with -P, a checkout that is not installed would not be found.
    place = str(Path(streamgmm.__file__).parent.parent)
    return (sys.executable, "-P", "-c", f"import sys; sys.path.append({place!r}); from {module} import main; main()")
