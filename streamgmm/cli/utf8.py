"""UTF-8 for file names, labels, output and child processes, whatever the locale."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path


def use_utf8() -> None:
    """Restart the program in Python's UTF-8 mode if the locale is not UTF-8; otherwise return.

    In a locale such as de_DE.ISO-8859-1, Python decodes names on disk as Latin-1, so a folder with a UTF-8 name
    would become a different label than elsewhere. The mode can only be set when the interpreter starts. It is set
    in the environment, so that child processes inherit it. `execv` keeps the process id, descriptors and signals,
    and the arguments are passed as their original bytes.
    """
    is_utf8 = sys.flags.utf8_mode or sys.getfilesystemencoding().lower().replace("-", "") == "utf8"
    # A second restart would not help: the interpreter was told to use the locale (-X utf8=0, -E).
    if is_utf8 or os.environ.get("PYTHONUTF8") == "1" or not sys.executable:
        return
    with contextlib.suppress(UnicodeError):
        command = [os.fsencode(sys.executable), *_own_arguments()]
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, command)


def _own_arguments() -> list[bytes]:
    """Return the arguments of the interpreter as their original bytes."""
    try:
        # Text decoded from a multi-byte charset, such as EUC-JP, cannot always be encoded back.
        return Path("/proc/self/cmdline").read_bytes().split(b"\0")[1:-1]
    except OSError:
        return [os.fsencode(argument) for argument in sys.orig_argv[1:]]
