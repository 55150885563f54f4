"""Runs the command line: within the test where that is enough, as a process where signals matter."""

from __future__ import annotations

import logging
import subprocess
import sys
from typing import Any, NamedTuple

import pytest

from streamgmm.cli.main import main


class Outcome(NamedTuple):
    """Exit code and output of one command."""

    code: int
    out: str
    err: str


def run_cli(capsys: pytest.CaptureFixture[str], *arguments: object) -> Outcome:
    """Run `streamgmm` within this process."""
    capsys.readouterr()
    logger = logging.getLogger("streamgmm")
    level = logger.level
    try:
        code = main([str(argument) for argument in arguments])
    finally:
        logger.setLevel(level)  # a command is the only one of its process, and need not
    return Outcome(code, *capsys.readouterr())


def spawn_cli(*arguments: object, **settings: Any) -> subprocess.Popen[str]:
    """Start `streamgmm` as a process of its own; its output is piped unless told otherwise."""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **settings}
    return subprocess.Popen([sys.executable, "-m", "streamgmm", *map(str, arguments)], **streams)


def spawn_main(preparation: str, *arguments: object, **settings: Any) -> subprocess.Popen[str]:
    """Like `spawn_cli`, after `preparation` (Python) has changed what it runs."""
    program = f"import sys\nfrom streamgmm.cli import main\n{preparation}\nsys.exit(main.main(sys.argv[1:]))"
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, **settings}
    return subprocess.Popen([sys.executable, "-c", program, *map(str, arguments)], **streams)
