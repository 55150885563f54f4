"""Processes of other programs that share nothing with this one: no descriptors, signals or process group."""

from __future__ import annotations

import json
import os
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from streamgmm.wording import escaped, shorten

FIRST_LOOK_S, LAST_LOOK_S = 0.001, 0.032
"""How soon and how often a running program is looked at (seconds); each time after twice as long."""

GRACE_S = 0.3
"""From SIGTERM to SIGKILL (seconds); short, as the end of the daemon waits for it."""

MAX_CHARACTERS = 4096
"""Of a variable; a system refuses to start a program with very long ones."""

PREFIX = "STREAMGMM_"
"""Of the variables that hold the fields of a record."""


def environment_of(fields: Mapping[str, object]) -> dict[bytes, bytes]:
    """Return the environment of this process, with each field as `STREAMGMM_FIELD`; lists and mappings have none.

    A text is one printable line of at most `MAX_CHARACTERS`, null an empty text.
    Variables of that prefix that are there already, as in the command of another daemon, are left out.
    """
    own = {key: value for key, value in os.environb.items() if not key.startswith(PREFIX.encode())}
    texts = {key: _text_of(value) for key, value in fields.items() if not isinstance(value, list | dict)}
    return own | {f"{PREFIX}{key.upper()}".encode(): text.encode() for key, text in texts.items()}


def run(
    arguments: list[str],
    environment: Mapping[bytes, bytes],
    stdin: bytes,
    timeout_s: float,
    is_abandoned: Callable[[], bool],
) -> str:
    """Run a program to its end, and end what it leaves running in its process group.

    It reads `stdin`; what it writes is discarded. Every signal has its default action.

    Args:
        arguments: the program, by path or to be looked up in PATH, and its arguments.
        environment: all of its environment.
        stdin: what it can read.
        timeout_s: it is ended after this time (seconds).
        is_abandoned: it is ended once this returns True; called from this thread.

    Returns:
        Why it failed; an empty text if it did not.
    """
    try:
        pid = _spawn(arguments, environment, stdin)
    except OSError as error:
        return f"cannot run: {os.strerror(error.errno or 0)}"
    reason = ""
    if not _has_ended_within(pid, timeout_s, is_abandoned):
        reason = "ended with the daemon" if is_abandoned() else f"took longer than {timeout_s:g} s"
        _signal_group(pid, signal.SIGTERM)
        _has_ended_within(pid, GRACE_S)
    _signal_group(pid, signal.SIGKILL)
    outcome = _reap(pid)
    return reason or outcome


def _spawn(arguments: list[str], environment: Mapping[bytes, bytes], stdin: bytes) -> int:
    # A file, not a pipe: a program that does not read it holds nobody up, and it may be of any length.
    with _open_unnamed() as file:
        file.write(stdin)
        file.seek(0)
        actions = [
            *((os.POSIX_SPAWN_CLOSE, fd) for fd in _inheritable_fds()),
            (os.POSIX_SPAWN_DUP2, file.fileno(), 0),
            *((os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_WRONLY, 0) for fd in (1, 2)),
        ]
        # Not subprocess: only this resets signals that the daemon ignores without running Python after a fork.
        return os.posix_spawnp(
            arguments[0],
            arguments,
            environment,
            file_actions=actions,
            setpgroup=0,
            setsigmask=[],
            setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
        )


def _has_ended_within(pid: int, timeout_s: float, is_abandoned: Callable[[], bool] = lambda: False) -> bool:
    deadline_s, look_s = time.monotonic() + timeout_s, FIRST_LOOK_S
    # Not waitpid: until it is reaped, its number belongs to its group and to no other.
    while not (has_ended := os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)):
        if time.monotonic() >= deadline_s or is_abandoned():
            break
        time.sleep(look_s)
        look_s = min(2.0 * look_s, LAST_LOOK_S)
    return has_ended is not None


def _signal_group(pid: int, number: int) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _reap(pid: int) -> str:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return f"exit code {code}" if code > 0 else f"signal {-code}" if code else ""


def _open_unnamed() -> BinaryIO:
    # In memory where the system can, as there may be no folder for temporary files.
    return os.fdopen(os.memfd_create("record"), "w+b") if hasattr(os, "memfd_create") else tempfile.TemporaryFile()


def _inheritable_fds() -> list[int]:
    """Return the descriptors that whoever started this process left open, besides stdin, stdout and stderr."""
    found = []
    for fd in [int(entry.name) for entry in Path("/dev/fd").iterdir()]:
        # The descriptor of this very listing is closed by now.
        with suppress(OSError):
            if fd > 2 and os.get_inheritable(fd):
                found.append(fd)
    return found


def _text_of(value: object) -> str:
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value)
    return shorten(escaped(text), MAX_CHARACTERS)
