"""The `streamgmm` command: picks the subcommand, and turns every way to fail into a line and an exit code."""

from __future__ import annotations

import argparse
import contextlib
import errno
import importlib
import io
import logging
import os
import signal
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import NamedTuple

from streamgmm import __version__
from streamgmm.cli.parser import Parser
from streamgmm.cli.streams import EnduringStream, abandon, enduring_stderr, enduring_stdout, fill_closed_outputs
from streamgmm.cli.utf8 import use_utf8
from streamgmm.errors import ConfigError, OutputError, StreamgmmError, SystemResourceError, UsageError
from streamgmm.memory_limit import (
    MIN_BYTES,
    MIN_TRAINING_BYTES,
    is_out_of_memory,
    out_of_memory_error,
    prepare_for_memory_limit,
)
from streamgmm.wording import did_you_mean


class Command(NamedTuple):
    """A subcommand: the module that holds it, imported only when chosen, and its line in the help."""

    module: str
    summary: str


COMMANDS = {
    "demo": Command("streamgmm.cli.demo", "hear it work within a minute, without a microphone"),
    "train": Command("streamgmm.cli.train", "make a model from a folder of recordings"),
    "evaluate": Command("streamgmm.cli.evaluate", "measure a model on recordings it has not seen"),
    "tune": Command("streamgmm.cli.tune", "keep false alarms within a budget on your background"),
    "enrol": Command("streamgmm.cli.enrol", "teach a model another class within seconds"),
    "forget": Command("streamgmm.cli.forget", "take a class out of a model"),
    "classify": Command("streamgmm.cli.classify", "say what is heard in recordings"),
    "explain": Command("streamgmm.cli.explain", "tell why the model said what it said at a moment"),
    "run": Command("streamgmm.cli.run", "listen day and night, and tell other programs"),
    "status": Command("streamgmm.cli.status", "ask a running daemon how well it hears"),
    "service": Command("streamgmm.cli.service", "have systemd run it from now on"),
    "devices": Command("streamgmm.cli.devices", "list the microphones, or watch the level of one"),
    "config": Command("streamgmm.cli.config", "show or check the settings"),
    "model": Command("streamgmm.cli.model", "show or verify a model file"),
}

_DESCRIPTION = """\
Hears sounds that you taught it, day and night, and tells other programs.
"""

EXIT_BUG = 70
_NEEDS_NO_STDOUT = {"train", "run"}
"""`train` reports on stderr, and the sinks of `run` speak for themselves."""
_FINISHES_FIRST = {"train", "tune", "enrol", "forget", "evaluate", "explain", "demo"}
"""What these write into files is worth more than what they print: they finish before a failure of stdout ends them."""
_TRAINS = {"demo", "train", "evaluate", "tune", "enrol", "forget"}
_NEEDS_LITTLE_MEMORY = {"config", "service", "status"}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG}
_EXHAUSTED = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: arguments without the program's name; None takes those of the process.

    Returns:
        The exit code, by the conventions of BSD's sysexits (see `streamgmm.errors`). Where a shell
        expects to see a signal (Ctrl-C, a closed pipe), the process ends by that signal instead.
    """
    if argv is None:
        use_utf8()
    fill_closed_outputs()
    with enduring_stderr() as stderr:
        return _run_told(sys.argv[1:] if argv is None else argv, stderr)


def _run_told(argv: Sequence[str], stderr: EnduringStream | None) -> int:
    """Run one command, and report on stderr whatever ends it."""
    try:
        with _told_to_end():
            return _run(argv, stderr)
    except StreamgmmError as error:
        return _report(error)
    except KeyboardInterrupt:
        return _die_by(signal.SIGINT)
    except _Terminated:
        return _die_by(signal.SIGTERM)
    except BrokenPipeError:
        return _stdout_closed()
    except Exception as error:
        return _report_unexpected(error)


class _Terminated(BaseException):
    """SIGTERM, as an exception like that of Ctrl-C: what was begun is cleared away on the way out."""


@contextlib.contextmanager
def _told_to_end() -> Iterator[None]:
    """Raises `_Terminated` on the first SIGTERM; a second one ends the process at once."""
    # Only the main thread may say what a signal does, and what a daemon has decided holds.
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        raise _Terminated

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(argv: Sequence[str], stderr: EnduringStream | None) -> int:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # no terminal is too old for a label
    try:
        args = _parse(argv)
        _set_up_logging(args.verbose)
        if sys.stdout is None and args.command not in _NEEDS_NO_STDOUT:
            raise _lost_result()
        if args.command not in _NEEDS_LITTLE_MEMORY:
            prepare_for_memory_limit(MIN_TRAINING_BYTES if args.command in _TRAINS else MIN_BYTES)
        with enduring_stdout() if args.command in _FINISHES_FIRST else contextlib.nullcontext():
            code: int = args.handler(args)
    except SystemExit as stop:  # how argparse ends --help and --version
        if sys.stdout is None:
            raise _lost_result() from None
        return _flushed(stop.code if isinstance(stop.code, int) else 0)
    is_lost = stderr is not None and stderr.failure is not None and args.command != "run"
    return _flushed(code or (OutputError.exit_code if is_lost else 0))


def _lost_result() -> ConfigError:
    return ConfigError(["stdout is closed, so the result would be lost; redirect it"])


def _flushed(code: int) -> int:
    """Return `code` once stdout is flushed, while a full disk or a closed pipe can still be reported."""
    if sys.stdout is not None:
        sys.stdout.flush()
    return code


def _set_up_logging(is_verbose: bool) -> None:
    logging.basicConfig(format="streamgmm: %(message)s")
    logging.getLogger("streamgmm").setLevel(logging.DEBUG if is_verbose else logging.INFO)
    # A library of scikit-learn's notes that there are no semaphores; `can_start_processes` does so in a line of ours.
    warnings.filterwarnings("ignore", ".*joblib will operate in serial mode", UserWarning)


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    # Options before the command take no value, so the first word is the command.
    name = next((argument for argument in argv if not argument.startswith("-")), None)
    if name is not None and name not in COMMANDS:
        guess = did_you_mean(name, COMMANDS) or f"there are {', '.join(COMMANDS)}"
        raise UsageError(f"unknown command {name}", hint=guess)
    return _make_parser(name).parse(argv)


def _make_parser(chosen: str | None) -> Parser:
    """The parser of everything, with the arguments of the chosen command alone."""
    parser = Parser(prog="streamgmm", description=_DESCRIPTION)
    parser.add_argument("--version", action="version", version=f"streamgmm {__version__}")
    parser.add_argument("-v", "--verbose", action="store_true", help="say more on stderr")
    subparsers = parser.add_subparsers(metavar="COMMAND", title="commands", dest="command", required=True)
    for name, command in COMMANDS.items():
        if name == chosen:
            importlib.import_module(command.module).add_parser(subparsers)
            # The help of `streamgmm` names it, and that of a command has a screen for what is its own.
            subparsers.choices[name].add_argument(
                "-v", "--verbose", action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS
            )
        else:
            subparsers.add_parser(name, help=command.summary)
    return parser


def _report(error: StreamgmmError) -> int:
    for line in str(error).split("\n"):
        _say(f"streamgmm: error: {line}")
    return error.exit_code


def _report_unexpected(error: Exception) -> int:
    """Report what the machine is to blame for as such, and everything else as a bug."""
    if is_out_of_memory(error):
        return _report(out_of_memory_error(error))
    where = str(error.filename or "") if isinstance(error, OSError) else ""
    if isinstance(error, OSError) and error.errno in _FULL:
        abandon(sys.stdout)
        return _report(OutputError(f"cannot write: {error.strerror}", where=where))
    if isinstance(error, OSError) and error.errno in _EXHAUSTED:
        return _report(SystemResourceError(f"the system is out of resources: {error.strerror}", where=where))
    return _report_bug()


def _report_bug() -> int:
    _say(traceback.format_exc() + "streamgmm: error: this is a bug, please report it with the lines above")
    return EXIT_BUG


def _say(text: str) -> None:
    # Without a stderr to complain on, the exit code still tells.
    if sys.stderr is not None:
        print(text, file=sys.stderr, flush=True)


def _stdout_closed() -> int:
    """End as `cat` would when its reader leaves."""
    abandon(sys.stdout)
    # systemd takes death by SIGPIPE for success and would not restart a service that nobody hears.
    if os.environ.get("SYSTEMD_EXEC_PID") == str(os.getpid()):
        return OutputError.exit_code
    return _die_by(signal.SIGPIPE) if os.name == "posix" else OutputError.exit_code


def _die_by(signal_number: signal.Signals) -> int:
    """End by a signal, so that a shell sees it and stops its script too."""
    with contextlib.suppress(OSError, ValueError):
        if sys.stdout is not None:
            sys.stdout.flush()
    if os.name == "posix":
        signal.signal(signal_number, signal.SIG_DFL)
        os.kill(os.getpid(), signal_number)
    return 128 + signal_number
