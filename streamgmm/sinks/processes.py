"""Run other programs isolated from this process: with their own descriptors, signal actions and process group."""

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
"""First and longest interval between checks whether a program still runs (s); intervals double."""

GRACE_S = 0.3
"""Time from SIGTERM to SIGKILL (s); short, because the end of the daemon waits for it."""

MAX_VALUE_CHARACTERS = 4096
"""Longest value of a variable; the system does not start programs with very long ones."""

PREFIX = "STREAMGMM_"
"""Prefix of the variables that contain the fields of a record."""


def environment_of(fields: Mapping[str, object]) -> dict[bytes, bytes]:
    """Return the environment of this process, with each field as `STREAMGMM_FIELD`; lists and mappings are left out.

    A value is one printable line of at most `MAX_VALUE_CHARACTERS`; null is an empty value. Existing variables with
    that prefix, e.g. if a command of another daemon started this one, are removed.
    """
    # As bytes, because variables need not be UTF-8.
    own = {key: value for key, value in os.environb.items() if not key.startswith(PREFIX.encode())}
    texts = {key: _text_of(value) for key, value in fields.items() if not isinstance(value, list | dict)}
    return own | {f"{PREFIX}{key.upper()}".encode(): text.encode() for key, text in texts.items()}


def run_program(
    arguments: list[str],
    environment: Mapping[bytes, bytes],
    stdin: bytes,
    timeout_s: float,
    is_abandoned: Callable[[], bool],
) -> str:
    """Run a program to its end, then kill all processes left in its process group.

    The output of the program is discarded. Every signal has its default action.

    Args:
        arguments: the program, as a path or a name to search in PATH, and its arguments.
        environment: the complete environment of the program.
        stdin: content of its standard input.
        timeout_s: time after which the program is ended (s).
        is_abandoned: the program is ended once this returns True; called from this thread.

    Returns:
        Reason of a failure; an empty text after success.
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
    # A file, not a pipe: a program that does not read its input blocks nothing, and the input may have any length.
    with _open_unnamed() as file:
        file.write(stdin)
        file.seek(0)
        actions = [
            # The descriptor of `file` itself is not inheritable, and needs no action.
            *((os.POSIX_SPAWN_CLOSE, fd) for fd in _inheritable_fds()),
            (os.POSIX_SPAWN_DUP2, file.fileno(), 0),
            *((os.POSIX_SPAWN_OPEN, fd, os.devnull, os.O_WRONLY, 0) for fd in (1, 2)),
        ]
        # Not subprocess: only posix_spawn resets ignored signals without running Python code after a fork.
        return os.posix_spawnp(
            arguments[0],
            arguments,
            environment,
            file_actions=actions,
            # A group of its own, whose id is the pid.
            setpgroup=0,
            setsigmask=[],
            setsigdef=signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP},
        )


def _has_ended_within(pid: int, timeout_s: float, is_abandoned: Callable[[], bool] = lambda: False) -> bool:
    deadline_s, look_s = time.monotonic() + timeout_s, FIRST_LOOK_S
    # Not waitpid: until the process is reaped, its id cannot be reused, and killpg reaches the right group.
    while not (has_ended := os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT)):
        if time.monotonic() >= deadline_s or is_abandoned():
            break
        # Growing intervals: the end of a short program is noticed at once, and a long one costs few checks.
        time.sleep(look_s)
        look_s = min(2.0 * look_s, LAST_LOOK_S)
    return has_ended is not None


def _signal_group(pid: int, number: int) -> None:
    # A command may have changed its user, e.g. by sudo, and is out of reach then.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, number)


def _reap(pid: int) -> str:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return f"exit code {code}" if code > 0 else f"signal {-code}" if code else ""


def _open_unnamed() -> BinaryIO:
    # In memory where the system supports it, as there may be no directory for temporary files.
    return os.fdopen(os.memfd_create("record"), "w+b") if hasattr(os, "memfd_create") else tempfile.TemporaryFile()


def _inheritable_fds() -> list[int]:
    """Return the inheritable descriptors besides stdin, stdout and stderr, which this process inherited itself."""
    found = []
    for fd in [int(entry.name) for entry in Path("/dev/fd").iterdir()]:
        # The list contains the descriptor of the listing itself, which is closed by now.
        with suppress(OSError):
            if fd > 2 and os.get_inheritable(fd):
                found.append(fd)
    return found


def _text_of(value: object) -> str:
    # As in JSON: `true`, not `True`.
    text = value if isinstance(value, str) else "" if value is None else json.dumps(value)
    return shorten(escaped(text), MAX_VALUE_CHARACTERS)
