"""The exceptions that a user can meet, each with the exit code of its kind (BSD sysexits).

Every one carries one line that says what was wrong, where, and what to do.
"""

from __future__ import annotations

import copyreg
from collections.abc import Sequence
from typing import Any

from streamgmm.wording import escaped


class StreamgmmError(Exception):
    """Base of all errors that are the input's or the machine's fault, not the program's.

    Args:
        what: what was wrong, in one line.
        where: the file, key, device or address that it concerns.
        hint: what to do about it.

    Attributes:
        may_heal: whether a source that worked before and fails of it may work again.
        is_hopeless: whether waiting cannot help a source that fails of it and has never worked.
        is_stall: whether it hangs rather than is gone.
    """

    may_heal: bool = False
    is_hopeless: bool = False
    is_stall: bool = False

    exit_code = 70

    def __init__(self, what: str, *, where: str = "", hint: str = "") -> None:
        self.what = what
        self.where = where
        self.hint = hint
        super().__init__(what)

    def __reduce__(self) -> tuple[Any, ...]:
        # By itself an exception is made anew from its positional arguments, and one that wants others could
        # not come back from a worker process.
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__  # type: ignore[attr-defined]

    def __str__(self) -> str:
        line = f"{self.where}: {self.what}" if self.where else self.what
        if self.hint:
            line += f" ({self.hint})"
        # A file name may hold any character; the message stays one printable line.
        return escaped(line)


class UsageError(StreamgmmError):
    """The command line makes no sense (EX_USAGE)."""

    exit_code = 64


class DataError(StreamgmmError):
    """A model, a recording or a data set has unusable content (EX_DATAERR)."""

    exit_code = 65


class InputMissingError(StreamgmmError):
    """A file that was named is missing or cannot be read (EX_NOINPUT)."""

    exit_code = 66


class DeviceError(StreamgmmError):
    """The microphone, or the library that reaches it, is not available (EX_UNAVAILABLE)."""

    exit_code = 69
    may_heal = True


class NotRunningError(StreamgmmError):
    """No daemon answers where one was asked (EX_UNAVAILABLE)."""

    exit_code = 69


class SystemResourceError(StreamgmmError):
    """The operating system refused a thread, a process or a descriptor (EX_OSERR)."""

    exit_code = 71
    may_heal = True
    is_hopeless = True


class CannotCreateError(StreamgmmError):
    """An output cannot be created: a socket in use, a directory that is missing (EX_CANTCREAT)."""

    exit_code = 73


class OutputError(StreamgmmError):
    """Writing failed: a full disk, a closed descriptor (EX_IOERR)."""

    exit_code = 74


class TemporaryError(StreamgmmError):
    """It does not work now, but is being healed (EX_TEMPFAIL)."""

    exit_code = 75


class PermissionDeniedError(StreamgmmError):
    """The user may not read or write what was named (EX_NOPERM)."""

    exit_code = 77


class ConfigError(StreamgmmError):
    """The configuration is wrong (EX_CONFIG); holds every problem found, not only the first.

    Args:
        problems: one line per problem, each with its place.
        where: the file or option that holds them.
    """

    exit_code = 78

    def __init__(self, problems: Sequence[str], *, where: str = "") -> None:
        self.problems = list(problems)
        super().__init__("; ".join(self.problems), where=where)

    def __str__(self) -> str:
        prefix = f"{self.where}:" if self.where else ""
        return "\n".join(prefix + problem for problem in self.problems)
