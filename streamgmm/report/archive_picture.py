"""The picture of an archive: its events by label, and by hour of the day where times are known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from streamgmm.archive.summary import HOURS_PER_DAY, Summary
from streamgmm.report.figure import new_figure, save_figure, spaced
from streamgmm.report.matplotlib_defaults import default_settings
from streamgmm.report.palette import LABEL_COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_INCHES, HEIGHT_INCHES, DOTS_PER_INCH = 12, 5, 100


@default_settings()
def draw_archive(path: Path, summary: Summary) -> None:
    """Draw the number of events of each label, and of each hour of the day if any time is known.

    Raises:
        UsageError: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    figure = new_figure(WIDTH_INCHES, HEIGHT_INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    if summary.n_timed:
        by_label, by_hour = figure.subplots(1, 2, width_ratios=(1, 2))
        _draw_hours(by_hour, summary)
    else:
        by_label = figure.subplots()
    names = [spaced(label) for label in summary.labels]
    counts = [own.n_events for own in summary.labels.values()]
    by_label.barh(names, counts, color=_colours(len(names)))
    by_label.invert_yaxis()
    by_label.set(xlabel="events", title=f"{summary.n_recordings} recordings")
    save_figure(figure, path)


def _draw_hours(axes: Axes, summary: Summary) -> None:
    below = np.zeros(HOURS_PER_DAY)
    colours = _colours(len(summary.labels))
    for colour, (label, own) in zip(colours, summary.labels.items(), strict=True):
        axes.bar(range(HOURS_PER_DAY), own.n_by_hour, bottom=below, color=colour, label=spaced(label))
        below += own.n_by_hour
    axes.set(xlabel="hour of the day (UTC)", ylabel="events", xticks=range(0, HOURS_PER_DAY, 3))
    axes.legend(fontsize=8)


def _colours(n_labels: int) -> list[str]:
    return [LABEL_COLOURS[i % len(LABEL_COLOURS)] for i in range(n_labels)]
