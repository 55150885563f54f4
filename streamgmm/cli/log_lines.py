"""Log lines on stderr; in the journal of systemd, each with its priority."""

from __future__ import annotations

import logging
import os
import warnings

LEVELS = {"error": logging.ERROR, "warning": logging.WARNING, "info": logging.INFO, "debug": logging.DEBUG}
"""Names of the levels for the command line; each includes those before it."""

_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_LOWEST_PRIORITY = 7
_STDERR = 2


def set_up_log(level: str) -> None:
    """Write log lines of `level`, a key of `LEVELS`, and above to stderr."""
    handler = logging.StreamHandler()
    handler.setFormatter((JournalFormatter if is_journal(_STDERR) else logging.Formatter)("streamgmm: %(message)s"))
    logging.basicConfig(handlers=[handler])
    logging.getLogger("streamgmm").setLevel(LEVELS[level])
    # joblib warns that there are no semaphores; `can_start_processes` reports that in one line of ours.
    warnings.filterwarnings("ignore", ".*joblib will operate in serial mode", UserWarning)


def is_journal(fd: int) -> bool:
    """Return whether the journal reads what is written to a descriptor (systemd.exec(5), `JOURNAL_STREAM`)."""
    try:
        status = os.fstat(fd)
    except OSError:
        return False
    # A child whose output is redirected inherits the variable too, but has another file there.
    return os.environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def as_error_lines(text: str) -> str:
    """Return `text` as it is written to stderr: in the journal, its lines are marked as errors."""
    return _with_priority(text, logging.ERROR) if is_journal(_STDERR) else text


class JournalFormatter(logging.Formatter):
    """A formatter that marks each line with its priority (sd-daemon(3)), for `journalctl -p warning`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the lines of `record`, e.g. `<4>streamgmm: ...`."""
        return _with_priority(super().format(record), record.levelno)


def _with_priority(text: str, level: int) -> str:
    priority = next((priority for least, priority in _PRIORITIES if level >= least), _LOWEST_PRIORITY)
    # Each line is an entry of its own in the journal.
    return "\n".join(f"<{priority}>{line}" for line in text.split("\n"))
