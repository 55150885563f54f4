"""Runs the command line: within the test where that is enough, as a process where signals matter."""

from __future__ import annotations

import contextlib
import logging
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from streamgmm.cli.main import main

PIPED: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}


class Outcome(NamedTuple):
    """Exit code and output of one command."""

    code: int
    out: str
    err: str


def run_cli(capsys: pytest.CaptureFixture[str], *arguments: object) -> Outcome:
    """Run `streamgmm` within this process."""
    capsys.readouterr()
    with _process_left_as_it_was():
        code = main([str(argument) for argument in arguments])
    return Outcome(code, *capsys.readouterr())


@contextlib.contextmanager
def _process_left_as_it_was() -> Iterator[None]:
    """Give back what a command, the only one of its process, need not: levels of its log, and handlers of signals."""
    logger = logging.getLogger("streamgmm")
    level = logger.level
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    try:
        yield
    finally:
        logger.setLevel(level)
        for number, handler in handlers.items():
            if handler is not None and signal.getsignal(number) is not handler:
                signal.signal(number, handler)


def spawn_cli(*arguments: object, **settings: Any) -> subprocess.Popen[str]:
    """Start `streamgmm` as a process of its own; its output is piped unless told otherwise."""
    return subprocess.Popen(command_of(*arguments), text=True, **PIPED | settings)


def spawn_main(preparation: str, *arguments: object, **settings: Any) -> subprocess.Popen[str]:
    """Like `spawn_cli`, after `preparation` (Python) has changed what it runs."""
    return subprocess.Popen(command_of(*arguments, preparation=preparation), text=True, **PIPED | settings)


def spawn_bytes(*arguments: object, preparation: str = "", **settings: Any) -> subprocess.Popen[bytes]:
    """Like `spawn_cli` and `spawn_main`, with streams of bytes."""
    return subprocess.Popen(command_of(*arguments, preparation=preparation), **PIPED | settings)


def command_of(*arguments: object, preparation: str = "") -> list[str]:
    """The command line of `streamgmm`, or of a program that runs it after some preparation."""
    program = f"import sys\nfrom streamgmm.cli import main\n{preparation}\nsys.exit(main.main(sys.argv[1:]))"
    start = ["-c", program] if preparation else ["-m", "streamgmm"]
    return [sys.executable, *start, *map(str, arguments)]
