"""The `streamgmm` command: runs the subcommand, and turns every failure into one line and an exit code."""

from __future__ import annotations

import argparse
import contextlib
import errno
import importlib
import io
import os
import signal
import sys
import threading
import traceback
from collections.abc import Collection, Iterator, Sequence
from types import FrameType

from streamgmm import __version__
from streamgmm.cli.clashes import check_outputs
from streamgmm.cli.log_lines import as_error_lines, set_up_log
from streamgmm.cli.parser import OverviewFormatter, Parser
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

COMMANDS = {
    "demo": "try it within a minute, without a microphone",
    "record": "record training clips from the microphone",
    "train": "make a model from a folder of recordings",
    "evaluate": "measure a model on recordings it was not trained on",
    "tune": "keep false alarms within a budget on your background",
    "enrol": "add a class to a model within seconds; `forget` removes one",
    "forget": "",
    "classify": "detect sounds in recordings",
    "archive": "count the events that `classify -o` has written",
    "explain": "show why the model decided as it did at a moment",
    "run": "listen day and night, and report to other programs",
    "review": "sort clips that `run` kept; `retrain` trains a model with them",
    "retrain": "",
    "status": "ask a running daemon how well it hears",
    "control": "pause a running daemon, or switch labels off",
    "monitor": "watch a running daemon, or a microphone without one",
    "service": "install it as a systemd service",
    "mqtt": "remove what it has left on an MQTT broker",
    "devices": "list the microphones, or watch the level of one",
    "config": "show or check the settings",
    "model": "show or verify a model file",
    "bench": "measure how fast it is on this machine",
}
"""Each command with its line in the help, empty where that of another names it, as a screen has 24 lines; its arguments
are in the module of its name in `parsers`."""

_DESCRIPTION = """\
Detects the sounds that you trained it on, and reports them to other programs.
"""

EXIT_BUG = 70
_NEEDS_NO_STDOUT = {"train", "run"}
"""`train` reports on stderr, and the sinks of `run` check stdout themselves."""
_FINISHES_FIRST = {
    "record",
    "review",
    "train",
    "tune",
    "enrol",
    "forget",
    "retrain",
    "evaluate",
    "explain",
    "archive",
    "demo",
    "bench",
}
"""Commands that write files, which matter more than the printed result: a failure of stdout ends them last."""
_TRAINS = {"demo", "train", "evaluate", "tune", "enrol", "forget", "retrain", "bench"}
_NEEDS_LITTLE_MEMORY = {"config", "control", "mqtt", "service", "status"}
_IS_SINGLE_THREADED = {"run", "classify", "bench", "monitor"}
"""Small matrix products gain nothing from threads, and a second thread costs memory."""
_FULL_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG}
# Too many open files in the process or the system, no memory, no room for another process or thread.
_EXHAUSTED_ERRNOS = {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: arguments without the program's name; None: those of the process.

    Returns:
        The exit code, as in BSD's sysexits (see `streamgmm.errors`). Where a shell expects a death by
        signal (Ctrl-C, a closed pipe), the process ends by that signal instead.
    """
    # Only for the program itself: with arguments given, a restart would replace the process of the caller.
    if argv is None:
        use_utf8()
    fill_closed_outputs()
    with enduring_stderr() as stderr:
        return _run_reporting(sys.argv[1:] if argv is None else argv, stderr)


def _run_reporting(argv: Sequence[str], stderr: EnduringStream | None) -> int:
    """Run one command, and report on stderr the exception that ends it."""
    try:
        with _raising_on_sigterm():
            return _run(argv, stderr)
    except StreamgmmError as error:
        return _report_error(error)
    except KeyboardInterrupt:
        return _die_by(signal.SIGINT)
    except _Terminated:
        return _die_by(signal.SIGTERM)
    except BrokenPipeError:
        return _stdout_closed()
    except Exception as error:
        return _report_unexpected(error)


class _Terminated(BaseException):
    """SIGTERM as an exception, like KeyboardInterrupt, so that temporary files are removed on the way out."""


@contextlib.contextmanager
def _raising_on_sigterm() -> Iterator[None]:
    """Raise `_Terminated` on the first SIGTERM; a second one ends the process at once."""
    # Only the main thread may set signal handlers, and a handler that a daemon has set takes precedence.
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
        sys.stdout.reconfigure(errors="backslashreplace")  # labels are printable on any terminal
    try:
        args = _parse_arguments(argv)
        set_up_log(args.log_level)
        if sys.stdout is None and args.command not in _NEEDS_NO_STDOUT:
            raise _stdout_is_closed()
        check_outputs(args)
        if args.command not in _NEEDS_LITTLE_MEMORY:
            # Before the handler, whose module imports numpy: OpenBLAS reads its settings then.
            prepare_for_memory_limit(MIN_TRAINING_BYTES if args.command in _TRAINS else MIN_BYTES)
        if args.command in _IS_SINGLE_THREADED:
            os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # read when numpy is imported
        with enduring_stdout() if args.command in _FINISHES_FIRST else contextlib.nullcontext():
            code: int = args.handler(args)
    except SystemExit as stop:  # how argparse ends --help and --version
        if sys.stdout is None:
            raise _stdout_is_closed() from None
        return _flushed(stop.code if isinstance(stop.code, int) else 0)
    # A daemon runs on without a reader of its log; for other commands, lost messages are a failure.
    is_lost = stderr is not None and stderr.failure is not None and args.command != "run"
    return _flushed(code or (OutputError.exit_code if is_lost else 0))


def _stdout_is_closed() -> ConfigError:
    return ConfigError(["stdout is closed, so the result would be lost; redirect it"])


def _flushed(code: int) -> int:
    """Flush stdout, while a full disk or a closed pipe can still be reported, and return `code`."""
    if sys.stdout is not None:
        sys.stdout.flush()
    return code


def _parse_arguments(argv: Sequence[str]) -> argparse.Namespace:
    # Options before the command have no value, so the first word is the command.
    name = next((argument for argument in argv if not argument.startswith("-")), None)
    if name is not None and name not in COMMANDS:
        guess = did_you_mean(name, COMMANDS) or f"there are {', '.join(COMMANDS)}"
        raise UsageError(f"unknown command {name}", hint=guess)
    return make_parser([name] if name else []).parse(argv)


class _Version(argparse.Action):
    """Print the version, and which kernel computes features here."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        # Imported only now: no other command needs the kernel before its first samples.
        name = importlib.import_module("streamgmm.features.kernel.loader").kernel_name()
        parser._print_message(f"streamgmm {__version__} (kernel: {name})\n", sys.stdout)
        parser.exit()


def make_parser(chosen: Collection[str]) -> Parser:
    """Return the parser of all commands, with the arguments of the chosen commands only, whose modules it imports."""
    # Options are not listed one by one: the list of commands fills the screen.
    usage = "streamgmm [-V | --version] [-v | --verbose] COMMAND ..."
    parser = Parser(
        prog="streamgmm", usage=usage, description=_DESCRIPTION, add_help=False, formatter_class=OverviewFormatter
    )
    parser.add_argument("-h", "--help", action="help", help=argparse.SUPPRESS)
    parser.add_argument("-V", "--version", action=_Version, nargs=0, help=argparse.SUPPRESS)
    _add_verbose_option(parser, default="info")
    subparsers = parser.add_subparsers(
        metavar="COMMAND", title="commands", dest="command", required=True, prog="streamgmm"
    )
    for name, summary in COMMANDS.items():
        # Without `help`, rather than with an empty one, it has no line.
        command = subparsers.add_parser(name, help=summary) if summary else subparsers.add_parser(name)
        if name in chosen:
            importlib.import_module(f"streamgmm.cli.parsers.{name}").add_arguments(command)
            # Without a default, which would replace what was given before the command.
            _add_verbose_option(command, default=argparse.SUPPRESS)
    return parser


def _add_verbose_option(parser: argparse.ArgumentParser, *, default: str) -> None:
    # The usage of `streamgmm` shows it; the help of a command has room for its own options only.
    parser.add_argument(
        "-v",
        "--verbose",
        action="store_const",
        const="debug",
        default=default,
        dest="log_level",
        help=argparse.SUPPRESS,
    )


def _report_error(error: StreamgmmError) -> int:
    lines = str(error).split("\n")
    n_problems = len(lines) - len(error.remarks)
    for line in lines[:n_problems]:
        _print_error(f"streamgmm: error: {line}")
    for line in lines[n_problems:]:
        _print_error(f"streamgmm: {line}")
    return error.exit_code


def _report_unexpected(error: Exception) -> int:
    """Report exhausted resources of the machine as such, and everything else as a bug."""
    if is_out_of_memory(error):
        return _report_error(out_of_memory_error(error))
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("streamgmm"):
        # Installed without its dependencies, which a daemon does not need all of.
        library = error.name.partition(".")[0]
        return _report_error(UsageError(f"{library} is not installed", hint="pip install streamgmm brings it"))
    where = str(error.filename or "") if isinstance(error, OSError) else ""
    if isinstance(error, OSError) and error.errno in _FULL_ERRNOS:
        abandon(sys.stdout)
        return _report_error(OutputError(f"cannot write: {error.strerror}", where=where))
    if isinstance(error, OSError) and error.errno in _EXHAUSTED_ERRNOS:
        return _report_error(SystemResourceError(f"the system is out of resources: {error.strerror}", where=where))
    return _report_bug()


def _report_bug() -> int:
    _print_error(traceback.format_exc() + "streamgmm: error: this is a bug, please report it with the lines above")
    return EXIT_BUG


def _print_error(text: str) -> None:
    # Without stderr, only the exit code reports the failure.
    if sys.stderr is not None:
        print(as_error_lines(text), file=sys.stderr, flush=True)


def _stdout_closed() -> int:
    """End as `cat` would when its reader leaves."""
    abandon(sys.stdout)
    # systemd counts death by SIGPIPE as success, and would not restart a service without a reader.
    if os.environ.get("SYSTEMD_EXEC_PID") == str(os.getpid()):
        return OutputError.exit_code
    return _die_by(signal.SIGPIPE) if os.name == "posix" else OutputError.exit_code


def _die_by(signal_number: signal.Signals) -> int:
    """End by a signal, so that a shell detects it and stops its script too."""
    with contextlib.suppress(OSError, ValueError):
        if sys.stdout is not None:
            sys.stdout.flush()
    if os.name == "posix":
        signal.signal(signal_number, signal.SIG_DFL)
        os.kill(os.getpid(), signal_number)
    # Reached where the signal does not end the process; shells show a death by signal as this code.
    return 128 + signal_number
