"""Text is UTF-8, whatever the locale: names of files and labels, what is printed, what child processes are given."""

from __future__ import annotations

import os
import sys


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
    os.environ["PYTHONUTF8"] = "1"
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
