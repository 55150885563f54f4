"""The picture of a scene as a PNG: spectrogram above, annotations and detections below, on one time axis."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from streamgmm.arrays import Samples
from streamgmm.evaluation.matching import Matches
from streamgmm.report.figure import new_figure, save_figure
from streamgmm.report.lanes import draw_lane_legend, draw_lanes
from streamgmm.report.matplotlib_defaults import default_settings
from streamgmm.report.palette import INK
from streamgmm.report.spectrogram import LOWEST_SHOWN_HZ, band_levels_db, frequency_ticks, shown_range_db

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_INCHES, HEIGHT_INCHES, DOTS_PER_INCH = 16, 9, 100
N_BANDS, N_COLUMNS = 200, 1400


@default_settings()
def draw_scene(path: Path, samples: Samples, sample_rate_hz: int, matches: Matches) -> None:
    """Draw a scene and the detections in it, 1600 x 900 pixels.

    Args:
        path: the PNG file to write.
        samples: float32, shape (n,), full scale 1.0.
        sample_rate_hz: rate of `samples`.
        matches: events of the scene and detections.

    Raises:
        UsageError: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    figure = new_figure(WIDTH_INCHES, HEIGHT_INCHES, dpi=DOTS_PER_INCH)
    figure.subplots_adjust(left=0.1, right=0.98, top=0.875, bottom=0.075, hspace=0.05)
    spectrogram, lanes = figure.subplots(2, 1, sharex=True, height_ratios=(1.0, 1.15))
    _draw_octaves(spectrogram, samples, sample_rate_hz)
    draw_lanes(lanes, matches)
    lanes.set_xlim(0.0, len(samples) / sample_rate_hz)
    lanes.set_xlabel("seconds")
    _draw_title(figure, matches)
    draw_lane_legend(figure)
    save_figure(figure, path)


def _draw_octaves(axes: Axes, samples: Samples, sample_rate_hz: int) -> None:
    levels_db = band_levels_db(samples, sample_rate_hz, N_BANDS, N_COLUMNS)
    lowest_db, highest_db = shown_range_db(levels_db)
    # Bands are equally wide in octaves, so that a plain image is enough.
    n_octaves = np.log2(sample_rate_hz / 2 / LOWEST_SHOWN_HZ)
    axes.imshow(
        levels_db,
        origin="lower",
        aspect="auto",
        extent=(0.0, len(samples) / sample_rate_hz, 0.0, n_octaves),
        cmap="magma",
        vmin=lowest_db,
        vmax=highest_db,
        interpolation="bilinear",
    )
    ticks_hz, names = frequency_ticks(sample_rate_hz)
    # Positions in octaves above the lowest band, as in the extent of the image.
    axes.set_yticks(np.log2(np.array(ticks_hz) / LOWEST_SHOWN_HZ), names)
    axes.tick_params(colors=INK, length=0, labelbottom=False)
    axes.spines[:].set_visible(False)


def _draw_title(figure: Figure, matches: Matches) -> None:
    total = matches.in_total()
    parts = [f"{total.n_found} of {total.n_true} sounds found", f"{total.n_missed} missed", f"{total.n_false} false"]
    if total.latency_s is not None:
        parts.append(f"reported {total.latency_s:.2f} s after they began (median)")
    figure.text(0.1, 0.945, parts[0], fontsize=20, weight="bold", color=INK, va="center")
    figure.text(0.1, 0.903, "  ·  ".join(parts[1:]), fontsize=12, color=INK, va="center")
