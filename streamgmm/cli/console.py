"""What people see: results on stdout, and on stderr how far the work is and what was noticed."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from streamgmm.dataset.dataset import Dataset
    from streamgmm.dataset.listing import Findings

Item = TypeVar("Item")

# Names of files and labels are shown as they are: neither brackets nor colons in them mean anything.
_LITERAL = {"highlight": False, "markup": False, "emoji": False}


def stdout_console() -> Console:
    """A console on stdout; plain where stdout is no terminal."""
    return Console(**_LITERAL)  # type: ignore[arg-type]


def stderr_console() -> Console:
    """A console on stderr; plain where stderr is no terminal."""
    return Console(stderr=True, **_LITERAL)  # type: ignore[arg-type]


def make_progress(console: Console, *, is_wanted: bool = True) -> Progress:
    """A bar with counts, time so far and time left; shows nothing where stderr is no terminal, or it is not wanted."""
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
    """Shows each piece of long work as a bar of its own.

    Args:
        progress: started by the caller.
    """

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __call__(self, items: Iterable[Item], description: str, total: int) -> Iterable[Item]:
        """Yield the items and advance the bar."""
        return self._progress.track(items, total=total, description=description)


def tell_findings(findings: Findings) -> None:
    """Print on stderr which recordings were left out, and what else was noticed."""
    from streamgmm.dataset.report import skipped_table

    console = stderr_console()
    for warning in findings.warnings:
        console.print(f"warning: {warning}", soft_wrap=True)
    for note in findings.notes:
        console.print(f"note: {note}", soft_wrap=True)
    if findings.skipped:
        console.print(skipped_table(findings.skipped))


def read_shown(path: Path, progress: Progress, **options: Any) -> Dataset:
    """Read the data set at `path` and show how many recordings were read so far.

    Args:
        path: as for `read_dataset`.
        progress: started by the caller.
        options: passed on to `read_dataset`.

    Raises:
        StreamgmmError: see `read_dataset`.
    """
    from streamgmm.dataset.dataset import read_dataset

    # How many there are is known only at the end: the bar runs to and fro until then.
    bar = progress.add_task("reading", total=None)
    dataset = read_dataset(path, on_progress=lambda n_seen: progress.update(bar, completed=n_seen), **options)
    progress.update(bar, total=len({clip.path for clip in dataset.clips}))
    return dataset
