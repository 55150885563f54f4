"""The picture of a benchmark: how many times as long other libraries take."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from streamgmm.bench.result import BenchResult, Figure, peers_of, ratio_text
from streamgmm.report.figure import new_figure, save_figure
from streamgmm.report.matplotlib_defaults import default_settings
from streamgmm.report.palette import GRID, INK, LABEL_COLOURS
from streamgmm.wording import escaped

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_INCHES, INCHES_PER_BAR, MARGIN_INCHES, DOTS_PER_INCH = 10, 0.22, 2.4, 100
GROUP_SHARE = 0.84
"""Share of the height of a group that its bars take."""

TICKS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500)


@default_settings()
def draw_bench(path: Path, result: BenchResult) -> None:
    """Draw a group of bars for each peer, on a logarithmic axis.

    Raises:
        UsageError: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    panels = (result.features, result.pipelines)
    n_bars = [len(figures) * len(peers_of(figures)) for figures in panels]
    height_inches = MARGIN_INCHES + INCHES_PER_BAR * sum(n_bars)
    figure = new_figure(WIDTH_INCHES, height_inches, dpi=DOTS_PER_INCH, layout="constrained")
    axes = figure.subplots(2, 1, sharex=True, height_ratios=n_bars)
    for part, figures in zip(axes, panels, strict=True):
        _draw_groups(part, figures)
    ratios = [ratio for figures in panels for figure in figures for ratio in figure.faster_than.values()]
    # Room for the figures at the ends of the bars; the ticks beyond are not shown.
    axes[0].set_xlim(min(0.8, 0.7 * min(ratios)), 1.4 * max(ratios))
    axes[0].set_title("features", loc="left", fontsize=11)
    axes[1].set_title("samples to records, 16 kHz, in blocks of 20 ms or the whole file", loc="left", fontsize=11)
    axes[1].set_xlabel("CPU time on one core, streamgmm = 1")
    machine = result.machine
    figure.suptitle(
        f"Time that others take, beside streamgmm on {escaped(machine.processor)} (kernel: {machine.kernel})",
        fontsize=12,
    )
    save_figure(figure, path)


def _draw_groups(axes: Axes, figures: Sequence[Figure]) -> None:
    """Draw a group for each peer, with a bar for each figure from 1 to its ratio."""
    peers = peers_of(figures)
    height = GROUP_SHARE / len(figures)
    for i, (figure, colour) in enumerate(zip(figures, LABEL_COLOURS, strict=False)):
        places = [peers.index(peer) + (i + 0.5) * height - GROUP_SHARE / 2 for peer in figure.faster_than]
        # From 1: bars to the left are of peers that take less time.
        lengths = [ratio - 1.0 for ratio in figure.faster_than.values()]
        bars = axes.barh(places, lengths, 0.9 * height, left=1.0, color=colour, label=figure.name)
        texts = [ratio_text(ratio) for ratio in figure.faster_than.values()]
        axes.bar_label(bars, texts, padding=3, color=INK, fontsize=8)
    axes.set_xscale("log")
    axes.set_xticks(TICKS, [f"{tick:g}" for tick in TICKS])
    axes.minorticks_off()
    axes.set_yticks(range(len(peers)), peers)
    axes.set_ylim(len(peers) - 0.5, -0.5)
    axes.axvline(1.0, color=INK, linewidth=1.0)
    axes.grid(axis="x", color=GRID)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
