"""What people see while they wait: progress on stderr, so that stdout stays for results."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

Item = TypeVar("Item")


def stderr_console() -> Console:
    """A console on stderr; plain where stderr is no terminal."""
    return Console(stderr=True, highlight=False)


def make_progress(console: Console) -> Progress:
    """A bar with counts, time so far and time left; shows nothing where stderr is no terminal."""
    return Progress(
        TextColumn("{task.description:>16}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


class RichTrack:
    """Shows each piece of long work as a bar of its own.

    Args:
        progress: started by the caller.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __call__(self, items: Iterable[Item], description: str, total: int) -> Iterable[Item]:
        """Yield the items and advance the bar."""
        return self._progress.track(items, total=total, description=description)
