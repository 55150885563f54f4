"""Data sets on a terminal: progress while they are read, and what was left out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.progress import Progress

from streamgmm.cli.console import stderr_console
from streamgmm.dataset.dataset import Dataset, read_dataset
from streamgmm.dataset.listing import Findings
from streamgmm.dataset.report import skipped_table


def print_findings(findings: Findings) -> None:
    """Print on stderr which recordings were left out, with all warnings and notes."""
    console = stderr_console()
    for warning in findings.warnings:
        console.print(f"warning: {warning}", soft_wrap=True)
    for note in findings.notes:
        console.print(f"note: {note}", soft_wrap=True)
    if findings.skipped:
        console.print(skipped_table(findings.skipped))


def read_with_progress(path: Path, progress: Progress, **options: Any) -> Dataset:
    """Read the data set at `path`, and show how many recordings were read so far.

    Args:
        path: as for `read_dataset`.
        progress: started by the caller.
        options: passed on to `read_dataset`.

    Raises:
        StreamgmmError: see `read_dataset`.
    """
    # The total is known only at the end: until then the bar pulses.
    bar = progress.add_task("reading", total=None)
    dataset = read_dataset(path, on_progress=lambda n_seen: progress.update(bar, completed=n_seen), **options)
    # Recordings and not clips: label files make several clips of one recording.
    progress.update(bar, total=len({clip.path for clip in dataset.clips}))
    return dataset
