"""`streamgmm status`: how a running daemon stands, and whether audio is flowing."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from streamgmm.cli.options import add_config_options
from streamgmm.cli.parser import place
from streamgmm.errors import StreamgmmError, TemporaryError, UsageError

if TYPE_CHECKING:
    from streamgmm.config import OutputSection
    from streamgmm.records import Health, Hello, Status

logger = logging.getLogger("streamgmm.status")

_DESCRIPTION = """\
Ask a running daemon over one of its sockets how well it hears.
exit code  0 audio is flowing · 75 it is not, and is waited for · 69 no daemon
           77 you may not ask it
"""

TIMEOUT_S = 3.0
SOCKETS = ("unix://", "tcp://")


def add_parser(subparsers: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command `status`."""
    parser = subparsers.add_parser("status", help="ask a running daemon how well it hears", description=_DESCRIPTION)
    parser.add_argument(
        "-k",
        "--sink",
        metavar="SINK",
        type=place,
        help="its unix://PATH or tcp://HOST:PORT (default: of settings or service)",
    )
    parser.add_argument("--json", action="store_true", help="print the status record as JSON")
    add_config_options(parser)
    parser.set_defaults(handler=_status)


def _status(args: argparse.Namespace) -> int:
    from streamgmm.config import sections_of_sinks
    from streamgmm.records import encode_json
    from streamgmm.service.health import HEARING_STATES
    from streamgmm.sinks.asking import ask_status
    from streamgmm.sinks.selection import selection_of
    from streamgmm.sinks.token import read_token

    output, problem = _read_output(args)
    askable = [section.uri for section in sections_of_sinks(output) if selection_of(section).admits_greeting]
    uri = args.sink or _first_socket(askable, problem)
    needs_token = output.token_file and not uri.startswith("unix://")
    answers = ask_status(uri, TIMEOUT_S, read_token(Path(output.token_file)) if needs_token else None)
    hello, status = answers[0]
    if problem is not None:
        logger.warning("the settings have mistakes, which the daemon does not go by: %s", problem)
    if args.json:
        print(encode_json(status).decode(), end="")
    else:
        _print_table(hello, status)
    if status.state not in HEARING_STATES:
        raise TemporaryError(f"no audio is flowing: {status.state}: {status.detail}", where=status.source)
    return 0


def _read_output(args: argparse.Namespace) -> tuple[OutputSection, StreamgmmError | None]:
    """The settings that lead to a daemon; mistakes in a file since it was started do not concern it.

    Raises:
        StreamgmmError: what was given with `--set` is wrong.
    """
    from streamgmm.config_loading import load_config, salvage_output

    try:
        return load_config(args.config, args.overrides).config.output, None
    except StreamgmmError as error:
        try:
            load_config(args.config)
        except StreamgmmError:
            return salvage_output(args.config, args.overrides), error
        raise


def _first_socket(sinks: Sequence[str], problem: StreamgmmError | None) -> str:
    from streamgmm.service.place import installed_sockets

    for uri in (*sinks, *installed_sockets()):
        if uri.startswith(SOCKETS):
            return uri
    if problem is not None:
        raise problem
    raise UsageError(
        "the settings name no socket to ask, and no service has one", hint="name that of the daemon: --sink unix://PATH"
    )


def _print_table(hello: Hello, status: Status) -> None:
    from rich.table import Table

    from streamgmm.cli.console import stdout_console

    table = Table.grid(padding=(0, 2))
    for name, value in _rows(hello, status):
        table.add_row(name, value)
    stdout_console().print(table, soft_wrap=True)


def _rows(hello: Hello, status: Status) -> Iterator[tuple[str, str]]:
    yield "state", status.state
    yield "detail", status.detail
    yield "source", status.source
    if status.health is not None:
        yield from _health_rows(status.health, hello.sample_rate_hz)
    yield "run", f"{hello.run_id}, version {hello.version}"


def _health_rows(health: Health, rate_hz: int) -> Iterator[tuple[str, str]]:
    if health.level_dbfs is not None:
        yield "level", f"{health.level_dbfs:.1f} dBFS"
    yield "uptime", _duration(health.uptime_s)
    yield "captured", _duration(health.captured_samples / rate_hz)
    yield "analysed", _duration(health.analysed_samples / rate_hz)
    for reason, n_samples in sorted(health.lost_samples.items()):
        yield "lost", f"{n_samples / rate_hz:.3f} s ({n_samples} samples, {reason})"
    yield "reopened", f"{health.n_reopened} times"
    yield "bugs survived", str(health.n_failures)
    yield "subscribers", str(health.n_clients)
    yield "model", f"{health.model.name} ({health.model.sha256[:12]})"
    if health.rtf is not None:
        yield "real-time factor", f"{health.rtf:.4f}"
    if health.drift_ppm is not None:
        yield "clock drift", f"{health.drift_ppm:+.0f} ppm"


def _duration(seconds: float) -> str:
    minutes, rest_s = divmod(seconds, 60.0)
    hours, minutes = divmod(int(minutes), 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"))
    return " ".join([*(f"{n} {unit}" for n, unit in parts if n), f"{rest_s:.1f} s"])
