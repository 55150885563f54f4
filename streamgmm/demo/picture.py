"""The picture of a scene as a PNG: spectrogram above, truth and decisions below, on one time axis."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from streamgmm.arrays import Samples
from streamgmm.demo.matching import Matches
from streamgmm.demo.scene import SceneEvent
from streamgmm.evaluation.found_events import FoundEvent
from streamgmm.report.figure import new_figure, save_figure
from streamgmm.report.matplotlib_defaults import default_settings
from streamgmm.report.spectrogram import LOWEST_HZ, band_levels_db

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_INCHES, HEIGHT_INCHES, DOTS_PER_INCH = 16, 9, 100
N_BANDS, N_COLUMNS = 200, 1400
RANGE_DB = 65.0
TICKS_HZ = (125, 250, 500, 1000, 2000, 4000, 8000, 16000)

COLOURS = (
    *("#4477aa", "#dd8844", "#117733", "#aa4499", "#44aa99"),
    *("#999933", "#882255", "#66a5d9", "#776655", "#6f5fc4"),
)
"""One per label, told apart also by the colour-blind (after Paul Tol's schemes); none is the red of mistakes."""
MISTAKE, MISTAKE_PALE = "#d7191c", "#fbdcdc"
MISTAKE_TEXT: dict[str, Any] = {"color": MISTAKE, "fontsize": 9, "weight": "bold"}
INK = "#2b2b33"

TRUE_LANE = (0.08, 0.3)
FOUND_LANE = (0.44, 0.42)
"""Top and height of the two bars of a label, in lanes."""


@default_settings()
def draw_scene(path: Path, samples: Samples, sample_rate_hz: int, matches: Matches) -> None:
    """Draw a scene and what was found in it, 1600 x 900 pixels.

    Raises:
        UsageError: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    figure = _new_figure()
    spectrogram, lanes = figure.subplots(2, 1, sharex=True, height_ratios=(1.0, 1.15))
    _draw_spectrogram(spectrogram, samples, sample_rate_hz)
    _draw_lanes(lanes, matches)
    lanes.set_xlim(0.0, len(samples) / sample_rate_hz)
    lanes.set_xlabel("seconds")
    _draw_title(figure, matches)
    _draw_legend(figure)
    save_figure(figure, path)


def _new_figure() -> Figure:
    figure = new_figure(WIDTH_INCHES, HEIGHT_INCHES, dpi=DOTS_PER_INCH)
    figure.subplots_adjust(left=0.1, right=0.98, top=0.875, bottom=0.075, hspace=0.05)
    return figure


def _draw_spectrogram(axes: Axes, samples: Samples, sample_rate_hz: int) -> None:
    levels_db = band_levels_db(samples, sample_rate_hz, N_BANDS, N_COLUMNS)
    loudest_db = float(np.percentile(levels_db, 99.9))
    # Bands are equally wide on a logarithmic axis: drawn over octaves, one plain image does it.
    n_octaves = np.log2(sample_rate_hz / 2 / LOWEST_HZ)
    axes.imshow(
        levels_db,
        origin="lower",
        aspect="auto",
        extent=(0.0, len(samples) / sample_rate_hz, 0.0, n_octaves),
        cmap="magma",
        vmin=loudest_db - RANGE_DB,
        vmax=loudest_db,
        interpolation="bilinear",
    )
    ticks_hz = [tick_hz for tick_hz in TICKS_HZ if tick_hz <= sample_rate_hz / 2]
    names = [f"{tick_hz} Hz" if tick_hz < 1000 else f"{tick_hz // 1000} kHz" for tick_hz in ticks_hz]
    axes.set_yticks(np.log2(np.array(ticks_hz) / LOWEST_HZ), names)
    axes.tick_params(colors=INK, length=0, labelbottom=False)
    axes.spines[:].set_visible(False)


def _draw_lanes(axes: Axes, matches: Matches) -> None:
    lane_of = {label: lane for lane, label in enumerate(matches.labels)}
    colour_of = {label: COLOURS[lane % len(COLOURS)] for label, lane in lane_of.items()}
    for lane in range(0, len(lane_of), 2):
        axes.axhspan(lane, lane + 1, color="#f4f4f7", linewidth=0, zorder=0)
    for truth, found in matches.pairs:
        _draw_true(axes, truth, lane_of[truth.label], colour_of[truth.label], is_missed=False)
        _draw_found(axes, found, lane_of[found.label], colour_of[found.label], is_false=False)
    for truth in matches.missed:
        _draw_true(axes, truth, lane_of[truth.label], colour_of[truth.label], is_missed=True)
    for found in matches.false:
        _draw_found(axes, found, lane_of[found.label], colour_of[found.label], is_false=True)
    axes.set_ylim(max(len(lane_of), 1), 0)
    axes.set_yticks(np.arange(len(lane_of)) + 0.5, [label.replace("_", " ") for label in lane_of])
    axes.tick_params(colors=INK, length=0)
    for name, colour in zip(axes.get_yticklabels(), colour_of.values(), strict=True):
        name.set(color=colour, fontsize=12, fontweight="bold")
    axes.spines[:].set_visible(False)
    axes.grid(axis="x", color="#d8d8e0", linewidth=0.6)
    axes.set_axisbelow(True)


def _draw_true(axes: Axes, event: SceneEvent, lane: int, colour: str, *, is_missed: bool) -> None:
    span = [(event.onset_s, event.offset_s - event.onset_s)]
    top, height = TRUE_LANE
    edge = MISTAKE if is_missed else colour
    axes.broken_barh(span, (lane + top, height), facecolor="white", edgecolor=edge, linewidth=1.6, zorder=3)
    if is_missed:
        centre_s = (event.onset_s + event.offset_s) / 2
        axes.text(centre_s, lane + 0.66, "missed", ha="center", va="center", **MISTAKE_TEXT)


def _draw_found(axes: Axes, event: FoundEvent, lane: int, colour: str, *, is_false: bool) -> None:
    span = [(event.onset_s, event.offset_s - event.onset_s)]
    top, height = FOUND_LANE
    bar = (lane + top, height)
    if is_false:
        axes.broken_barh(span, bar, facecolor=MISTAKE_PALE, edgecolor=MISTAKE, hatch="////", linewidth=1.2, zorder=3)
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


def _draw_title(figure: Figure, matches: Matches) -> None:
    total = matches.in_total()
    parts = [f"{total.n_found} of {total.n_true} sounds found", f"{total.n_missed} missed", f"{total.n_false} false"]
    if total.latency_s is not None:
        parts.append(f"told {total.latency_s:.2f} s after they began (median)")
    figure.text(0.1, 0.945, parts[0], fontsize=20, weight="bold", color=INK, va="center")
    figure.text(0.1, 0.903, "  ·  ".join(parts[1:]), fontsize=12, color=INK, va="center")


def _draw_legend(figure: Figure) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor="white", edgecolor=INK, linewidth=1.6, label="true"),
        Patch(facecolor=INK, edgecolor=INK, label="found"),
        Line2D([], [], marker="D", color="white", mec=INK, ms=6, linestyle="", label="when it was told"),
        Patch(facecolor="white", edgecolor=MISTAKE, linewidth=1.6, label="missed"),
        Patch(facecolor=MISTAKE_PALE, edgecolor=MISTAKE, hatch="////", label="false"),
    ]
    figure.legend(
        handles=handles, loc="upper right", bbox_to_anchor=(0.985, 0.965), ncols=5, frameon=False, fontsize=12
    )
