"""Annotations and detections on a time axis: a lane for each label, with mistakes marked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from streamgmm.evaluation.matching import Matches
from streamgmm.listening.events import Annotation, Detection
from streamgmm.report.figure import spaced
from streamgmm.report.palette import GRID, INK, LABEL_COLOURS, MISTAKE, MISTAKE_PALE, STRIPE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MISTAKE_TEXT: dict[str, Any] = {"color": MISTAKE, "fontsize": 9, "weight": "bold"}

TRUE_BAR = (0.08, 0.3)
FOUND_BAR = (0.44, 0.42)
"""Top and height of the two bars of a label, as shares of its lane."""


def draw_lanes(axes: Axes, matches: Matches) -> None:
    """Draw annotations above detections, label by label, and a diamond where each detection was reported."""
    lane_of = {label: lane for lane, label in enumerate(matches.labels)}
    colour_of = {label: LABEL_COLOURS[lane % len(LABEL_COLOURS)] for label, lane in lane_of.items()}
    for lane in range(0, len(lane_of), 2):
        axes.axhspan(lane, lane + 1, color=STRIPE, linewidth=0, zorder=0)
    for truth, found in matches.pairs:
        _draw_true(axes, truth, lane_of[truth.label], colour_of[truth.label], is_missed=False)
        _draw_found(axes, found, lane_of[found.label], colour_of[found.label], is_false=False)
    # Mistakes are drawn last, so that they lie on top.
    for truth in matches.missed:
        _draw_true(axes, truth, lane_of[truth.label], colour_of[truth.label], is_missed=True)
    for found in matches.false:
        _draw_found(axes, found, lane_of[found.label], colour_of[found.label], is_false=True)
    # Reversed, so that the first lane is on top; at least one lane, as the limits must differ.
    axes.set_ylim(max(len(lane_of), 1), 0)
    axes.set_yticks(np.arange(len(lane_of)) + 0.5, [spaced(label) for label in lane_of])
    axes.tick_params(colors=INK, length=0)
    for name, colour in zip(axes.get_yticklabels(), colour_of.values(), strict=True):
        name.set(color=colour, fontsize=12, fontweight="bold")
    axes.spines[:].set_visible(False)
    axes.grid(axis="x", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)


def draw_lane_legend(figure: Figure) -> None:
    """Explain the marks of `draw_lanes` in the upper right corner."""
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor="white", edgecolor=INK, linewidth=1.6, label="true"),
        Patch(facecolor=INK, edgecolor=INK, label="found"),
        Line2D([], [], marker="D", color="white", mec=INK, ms=6, linestyle="", label="when it was reported"),
        Patch(facecolor="white", edgecolor=MISTAKE, linewidth=1.6, label="missed"),
        Patch(facecolor=MISTAKE_PALE, edgecolor=MISTAKE, hatch="////", label="false"),
    ]
    figure.legend(
        handles=handles, loc="upper right", bbox_to_anchor=(0.985, 0.965), ncols=5, frameon=False, fontsize=12
    )


def _draw_true(axes: Axes, event: Annotation, lane: int, colour: str, *, is_missed: bool) -> None:
    span = [(event.onset_s, event.offset_s - event.onset_s)]
    top, height = TRUE_BAR
    edge = MISTAKE if is_missed else colour
    axes.broken_barh(span, (lane + top, height), facecolor="white", edgecolor=edge, linewidth=1.6, zorder=3)
    if is_missed:
        # In the place of the detection that is missing.
        centre_s = (event.onset_s + event.offset_s) / 2
        axes.text(centre_s, lane + 0.66, "missed", ha="center", va="center", **MISTAKE_TEXT)


def _draw_found(axes: Axes, event: Detection, lane: int, colour: str, *, is_false: bool) -> None:
    span = [(event.onset_s, event.offset_s - event.onset_s)]
    top, height = FOUND_BAR
    bar = (lane + top, height)
    if is_false:
        axes.broken_barh(span, bar, facecolor=MISTAKE_PALE, edgecolor=MISTAKE, hatch="////", linewidth=1.2, zorder=3)
        # Beside the bar, which may be shorter than the word.
        axes.annotate(
            "false",
            (event.offset_s, lane + 0.66),
            xytext=(7, 0),
            textcoords="offset points",
            va="center",
            **MISTAKE_TEXT,
        )
    else:
        axes.broken_barh(span, bar, facecolor=colour, edgecolor=colour, linewidth=1.2, zorder=3)
    axes.plot(event.reported_s, lane + top + height / 2, "D", color="white", mec=INK, mew=1.0, ms=5, zorder=4)
