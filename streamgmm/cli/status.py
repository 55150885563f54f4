"""`streamgmm status`: show the condition of a running daemon, and whether audio is flowing."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Sequence

from streamgmm.cli.daemon_address import find_daemon
from streamgmm.errors import TemporaryError
from streamgmm.records import Health, Hello, Status, encode_json
from streamgmm.service.health import HEARING_STATES
from streamgmm.sinks.asking import SourceStatus, ask_status

logger = logging.getLogger("streamgmm.status")

ANSWER_TIMEOUT_S = 3.0

MOST_COLUMNS = 10_000
"""Width up to which the table of several sources is as wide as it has to be."""


def run_status(args: argparse.Namespace) -> int:
    """Print the condition of each source of a daemon.

    Raises:
        TemporaryError: no audio is flowing from a required source.
        StreamgmmError: the daemon gives no status (see `ask_status`), or the settings lead to none.
    """
    uri, token, problem = find_daemon(args.sink, args.config, args.overrides)
    answers = ask_status(uri, ANSWER_TIMEOUT_S, token)
    if problem is not None:
        logger.warning("the settings have mistakes, which the daemon does not use: %s", problem)
    if args.json:
        print("".join(encode_json(status).decode() for _, status in answers), end="")
    elif len(answers) == 1:
        _print_source(*answers[0])
    else:
        _print_statuses(answers)
    silent = [status for hello, status in answers if hello.is_required and status.state not in HEARING_STATES]
    # The first one names the failure; the output above has every source.
    for status in silent:
        raise TemporaryError(f"no audio is flowing: {status.state}: {status.detail}", where=status.source)
    return 0


def _print_source(hello: Hello, status: Status) -> None:
    rows = list(_rows(hello, status))
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:{width}}  {value}")


def _print_statuses(answers: Sequence[SourceStatus]) -> None:
    """Print a row for each source, and below the detail of each state other than `ok`."""
    # Imported here: a small installation has no tables.
    from rich.table import Table

    from streamgmm.cli.console import stdout_console

    console = stdout_console()
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("source", "state", "level", "captured", "lost", "reopened", "model", "room"):
        table.add_column(column, no_wrap=True)
    for hello, status in answers:
        table.add_row(*_cells_of_source(hello, status))
    n_terminal_columns, console.width = console.width, MOST_COLUMNS
    # Whole figures in any case: a row that is cut, or folded, tells nothing.
    if console.is_terminal and console.measure(table).maximum > n_terminal_columns:
        for hello, status in answers:
            _print_source(hello, status)
            print()
        return
    console.print(table, soft_wrap=True)
    for _, status in answers:
        if status.paused or status.off:
            off = "paused" if status.paused else f"off: {', '.join(status.off)}"
            console.print(f"{status.source}: {off}", markup=False, highlight=False, soft_wrap=True)
        if status.state != "ok":
            console.print(f"{status.source}: {status.detail}", markup=False, highlight=False, soft_wrap=True)


def _cells_of_source(hello: Hello, status: Status) -> Iterator[str]:
    yield status.source
    yield status.state if hello.is_required else f"{status.state} (optional)"
    # Without health, the rest of the row stays empty.
    if (health := status.health) is not None:
        yield "" if health.level_dbfs is None else f"{health.level_dbfs:.1f} dBFS"
        yield _coarse_duration(health.captured_samples / hello.sample_rate_hz)
        yield f"{sum(health.lost_samples.values()) / hello.sample_rate_hz:.1f} s"
        yield str(health.n_reopened)
        yield health.model.name
        yield "" if health.room_s is None else f"{health.room_s / 60.0:.0f} min"


def _rows(hello: Hello, status: Status) -> Iterator[tuple[str, str]]:
    yield "state", status.state
    yield "detail", status.detail
    if status.paused:
        yield "paused", "until `resume`" if status.paused_s is None else f"for {_duration(status.paused_s)} more"
    if status.off:
        yield "off", ", ".join(status.off)
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
    if health.room_s is not None:
        yield "room", _room(health)
    if health.rtf is not None:
        yield "real-time factor", f"{health.rtf:.4f}"
    if health.drift_ppm is not None:
        yield "clock drift", f"{health.drift_ppm:+.0f} ppm"


def _room(health: Health) -> str:
    return f"{(health.room_s or 0.0) / 60.0:.0f} min learnt, weight {health.room_weight or 0.0:.2f}"


def _coarse_duration(seconds: float) -> str:
    """Return the two largest units of a duration."""
    return " ".join(_duration(seconds).split()[:4])


def _duration(seconds: float) -> str:
    minutes, rest_s = divmod(seconds, 60.0)
    hours, minutes = divmod(int(minutes), 60)
    days, hours = divmod(hours, 24)
    parts = ((days, "d"), (hours, "h"), (minutes, "min"))
    return " ".join([*(f"{n} {unit}" for n, unit in parts if n), f"{rest_s:.1f} s"])
