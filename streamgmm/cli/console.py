"""Consoles for results (stdout) and for progress and warnings (stderr)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Tracked = TypeVar("Tracked")

# File names and labels are shown verbatim: rich must not interpret brackets and colons in them.
_LITERAL = {"highlight": False, "markup": False, "emoji": False}


def stdout_console() -> Console:
    """Return a console on stdout; plain where stdout is not a terminal."""
    return Console(**_LITERAL)  # type: ignore[arg-type]


def stderr_console() -> Console:
    """Return a console on stderr; plain where stderr is not a terminal."""
    return Console(stderr=True, **_LITERAL)  # type: ignore[arg-type]


def make_progress(console: Console, *, is_wanted: bool = True) -> Progress:
    """Return a progress bar with counts, elapsed and remaining time.

    The bar is hidden where stderr is not a terminal, or `is_wanted` is false.
    """
    return Progress(
        TextColumn("{task.description:>16}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not (is_wanted and console.is_terminal),
    )


class RichTrack:
    """Show each piece of long work as a bar of its own.

    Args:
        progress: started by the caller.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __call__(self, items: Iterable[Tracked], description: str, total: int) -> Iterable[Tracked]:
        """Yield the items and advance the bar."""
        # The total is passed on, as the items may come from a generator without a length.
        return self._progress.track(items, total=total, description=description)
