"""Exceptions that are reported to the user, each with its exit code (BSD sysexits).

The message of each is one line with the problem, its place, and a remedy.
"""

from __future__ import annotations

import copyreg
from collections.abc import Sequence
from typing import Any

from streamgmm.wording import escaped


class StreamgmmError(Exception):
    """Base of all errors caused by the input or the machine, not by a bug.

    Args:
        what: what was wrong, in one line.
        where: the file, key, device or address that it concerns.
        hint: what to do about it.

    Attributes:
        may_heal: whether a source that worked before and fails of it may work again.
        is_hopeless: whether waiting cannot help a source that fails of it and has never worked.
        is_stall: whether it hangs rather than is gone.
        has_waited: whether the source waits itself for what it lacks, and need not be left alone ever longer.
    """

    may_heal: bool = False
    is_hopeless: bool = False
    is_stall: bool = False
    has_waited: bool = False

    exit_code = 70

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        self.what = what
        self.where = where
        self.hint = hint
        super().__init__(what)

    @property
    def remarks(self) -> list[str]:
        """The last lines of the message that are no problems but warnings and hints, which may explain them."""
        return []

    def __reduce__(self) -> tuple[Any, ...]:
        # By default, unpickling calls the constructor with `args` only. Subclasses with other arguments could not be
        # passed on from a worker process.
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]

    def __str__(self) -> str:
        line = f"{self.where}: {self.what}" if self.where else self.what
        if self.hint:
            line += f" ({self.hint})"
        # A file name may have any character; the message must remain one printable line.
        return escaped(line)


class UsageError(StreamgmmError):
    """The command line is not valid (EX_USAGE)."""

    exit_code = 64


class DataError(StreamgmmError):
    """The content of a model, recording or data set is not valid (EX_DATAERR)."""

    exit_code = 65


class InputMissingError(StreamgmmError):
    """An input file is missing or cannot be read (EX_NOINPUT)."""

    exit_code = 66


class DeviceError(StreamgmmError):
    """The microphone, or the library that accesses it, is not available (EX_UNAVAILABLE)."""

    exit_code = 69
    may_heal = True


class NotRunningError(StreamgmmError):
    """No daemon answers at the given address (EX_UNAVAILABLE)."""

    exit_code = 69


class SystemResourceError(StreamgmmError):
    """The operating system refused a thread, a process or a descriptor (EX_OSERR)."""

    exit_code = 71
    # A device that has worked is opened again once the system has resources to spare; a start without them fails at
    # once.
    may_heal = True
    is_hopeless = True


class CannotCreateError(StreamgmmError):
    """An output cannot be created, e.g. a socket in use or a missing directory (EX_CANTCREAT)."""

    exit_code = 73


class OutputError(StreamgmmError):
    """Writing failed, e.g. because of a full disk or a closed descriptor (EX_IOERR)."""

    exit_code = 74


class TemporaryError(StreamgmmError):
    """A temporary failure, from which the program is recovering (EX_TEMPFAIL)."""

    exit_code = 75


class PermissionDeniedError(StreamgmmError):
    """The user lacks permission to read or write a file (EX_NOPERM)."""

    exit_code = 77


class ConfigError(StreamgmmError):
    """The configuration is not valid (EX_CONFIG); reports all problems, not only the first.

    Args:
        problems: one line per problem, each with its place.
        where: file or option that has the problems.
    """

    exit_code = 78

    def __init__(self, problems: Sequence[str], *, where: str = "") -> None:
        self.problems = list(problems)
        super().__init__("; ".join(self.problems), where=where)

    def __str__(self) -> str:
        prefix = f"{self.where}:" if self.where else ""
        return "\n".join(prefix + problem for problem in self.problems)
