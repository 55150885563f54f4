"""Text is UTF-8, whatever the locale: names of files and labels, what is printed, what child processes are given."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path


def use_utf8() -> None:
    """Begin the program again in Python's UTF-8 mode if the locale is another one; returns if it need not.

    In a locale such as de_DE.ISO-8859-1, Python takes names on disk for Latin-1, and a folder of UTF-8 would
    be learnt as another label than elsewhere. The mode can only be set when the interpreter starts. It is set
    by the environment, so that every process that is started from here has it too. The process stays the same
    one, with its id, descriptors and signals, and gets its arguments as the bytes that they were.
    """
    is_utf8 = sys.flags.utf8_mode or sys.getfilesystemencoding().lower().replace("-", "") == "utf8"
    # A second time would not help: somebody insists on the locale (-X utf8=0, -E).
    if is_utf8 or os.environ.get("PYTHONUTF8") == "1" or not sys.executable:
        return
    with contextlib.suppress(UnicodeError):
        command = [os.fsencode(sys.executable), *_own_arguments()]
        os.environ["PYTHONUTF8"] = "1"
        os.execv(sys.executable, command)


def _own_arguments() -> list[bytes]:
    """What follows the name of the interpreter on the command line, as the bytes that were typed."""
    try:
        # What was decoded by a charset of several bytes, such as EUC-JP, cannot always be encoded again.
        return Path("/proc/self/cmdline").read_bytes().split(b"\0")[1:-1]
    except OSError:
        return [os.fsencode(argument) for argument in sys.orig_argv[1:]]
