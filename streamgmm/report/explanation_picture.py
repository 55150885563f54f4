"""The picture of an explanation: sound and posteriors around the moment, and contributions to the best label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from streamgmm.arrays import Float64Array, FloatArray
from streamgmm.decision.events import EventState
from streamgmm.explanation.explaining import Explained
from streamgmm.explanation.result import Explanation, MixtureComparison, by_kind_and_band
from streamgmm.explanation.surroundings import Surroundings
from streamgmm.features.bank import band_limits_hz, hz_to_mel
from streamgmm.features.spec import FeatureSpec
from streamgmm.labels import is_reserved
from streamgmm.model.model import Model
from streamgmm.report.figure import new_figure, save_figure, spaced
from streamgmm.report.matplotlib_defaults import default_settings
from streamgmm.report.palette import BAD, GOOD, GRID, INK, LABEL_COLOURS, PALE_INK, SHADE
from streamgmm.report.spectrogram import band_edges_hz, band_levels_db, frequency_ticks, shown_range_db
from streamgmm.wording import escaped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_INCHES, HEIGHT_INCHES, DOTS_PER_INCH = 16, 9, 100
N_ROWS, N_COLUMNS = 160, 1000

OTHER_COLOURS = (LABEL_COLOURS[2], LABEL_COLOURS[3], LABEL_COLOURS[5])
"""Colours of labels other than the two compared ones."""

EVENT_LANE = (1.05, 0.05)
"""Bottom and height of the bars of open events, above the posteriors."""

LEFT, MIDDLE, RIGHT = 0.06, 0.6, 0.975


@default_settings()
def draw_explanation(path: Path, explained: Explained, model: Model, title: str) -> None:
    """Draw an explanation, 1600 x 900 pixels, as SVG if the name ends in `.svg`, else as PNG.

    Args:
        path: the file to write.
        explained: explanation of a run of `model`.
        model: the explained model.
        title: name of the recording.

    Raises:
        UsageError: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    save_figure(make_figure(explained, model, title), path)


def make_figure(explained: Explained, model: Model, title: str) -> Figure:
    """Return the figure: sound and posteriors, and the contributions by band and by kind if labels are compared."""
    explanation, surroundings = explained
    comparison = explanation.comparison
    figure = new_figure(WIDTH_INCHES, HEIGHT_INCHES, dpi=DOTS_PER_INCH)
    # Left, bottom, width and height, in shares of the figure.
    width = 0.9 if comparison is None else 0.515
    spectrogram = figure.add_axes((LEFT, 0.5, width, 0.365))
    posteriors = figure.add_axes((LEFT, 0.075, width, 0.355), sharex=spectrogram)
    _draw_spectrogram(spectrogram, surroundings, model.spec)
    _draw_posteriors(posteriors, explanation, surroundings, model)
    _mark_window(spectrogram, posteriors, explanation)
    if comparison is not None:
        bands = figure.add_axes((MIDDLE, 0.5, RIGHT - MIDDLE, 0.365), sharey=spectrogram)
        _draw_bands(bands, comparison, model.spec)
        _draw_kinds(figure.add_axes((MIDDLE + 0.115, 0.075, RIGHT - MIDDLE - 0.115, 0.355)), comparison, model.spec)
    _draw_titles(figure, explanation, title)
    return figure


def _mels(frequencies_hz: npt.ArrayLike) -> Float64Array:
    """Return frequencies (Hz) in mel, where the bands of a model are equally wide and their bars equally thick."""
    return np.array([hz_to_mel(frequency_hz) for frequency_hz in np.ravel(frequencies_hz).tolist()])


def _draw_spectrogram(axes: Axes, surroundings: Surroundings, spec: FeatureSpec) -> None:
    rate_hz = spec.sample_rate_hz
    # The features treat samples that are not finite as silence, too.
    samples = np.nan_to_num(surroundings.samples, nan=0.0, posinf=0.0, neginf=0.0)
    levels_db = band_levels_db(samples, rate_hz, N_ROWS, N_COLUMNS)
    lowest_db, highest_db = shown_range_db(levels_db)
    begin_s = surroundings.first_sample / rate_hz
    times_s = np.linspace(begin_s, begin_s + len(samples) / rate_hz, N_COLUMNS + 1)
    # Rows are equally wide in octaves and not in mel, so they are placed by their edges. Rasterised, because a path for
    # each of 160,000 cells would make an SVG huge.
    axes.pcolormesh(
        times_s,
        _mels(band_edges_hz(N_ROWS, rate_hz)),
        levels_db,
        cmap="magma",
        vmin=lowest_db,
        vmax=highest_db,
        rasterized=True,
    )
    axes.set_facecolor("black")  # below the lowest row nothing is drawn
    axes.set(xlim=(times_s[0], times_s[-1]), ylim=(0.0, hz_to_mel(rate_hz / 2)))
    ticks_hz, names = frequency_ticks(rate_hz)
    axes.set_yticks(_mels(ticks_hz), names)
    _tidy(axes)
    axes.tick_params(labelbottom=False)


def _draw_posteriors(axes: Axes, explanation: Explanation, surroundings: Surroundings, model: Model) -> None:
    """Draw smoothed posteriors of the most important labels hop by hop, and where their events are open."""
    moments = surroundings.moments
    posteriors = np.array([moment.judgement.posteriors for moment in moments])
    # A value is drawn at the end of its hop, which is also the end of its window.
    ends_s = [moment.scores.end_sample / model.spec.sample_rate_hz for moment in moments]
    hop_s = model.spec.hop_samples / model.spec.sample_rate_hz
    shown = _shown_labels(explanation, model.labels, posteriors.max(axis=0))
    for label, colour in shown.items():
        i_label = model.labels.index(label)
        values = posteriors[:, i_label]
        # Points of rejected hops are hollow; a reserved label has a score of 0 in any case.
        is_accepted = [is_reserved(label) or moment.judgement.scores[i_label] > 0.0 for moment in moments]
        axes.plot(ends_s, values, lw=1.8, color=colour, label=spaced(label))
        fills = [colour if accepted else "white" for accepted in is_accepted]
        axes.scatter(ends_s, values, s=16, color=fills, edgecolor=colour, linewidth=1.1, zorder=3)
        # States are those after a hop, so an event is drawn from the beginning of the hop that opened it.
        spans = [
            (end_s - hop_s, hop_s)
            for end_s, moment in zip(ends_s, moments, strict=True)
            if moment.states[i_label] in (EventState.OPEN, EventState.HANGOVER)
        ]
        axes.broken_barh(spans, EVENT_LANE, color=colour, linewidth=0)
    # No data: only an entry for the legend.
    axes.plot([], [], "o", ms=4.5, color="white", mec=INK, mew=1.1, label="rejected by a gate")
    _draw_thresholds(axes, explanation, shown)
    axes.set(ylim=(0.0, EVENT_LANE[0] + EVENT_LANE[1] + 0.01), xlabel="seconds", ylabel="smoothed posterior")
    lane_centre = EVENT_LANE[0] + EVENT_LANE[1] / 2
    axes.set_yticks([0.0, 0.2, 0.4, 0.6, 0.8, 1.0, lane_centre], ["0", "0.2", "0.4", "0.6", "0.8", "1", "events"])
    axes.grid(color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(-0.01, 1.0),
        ncols=len(shown) + 1,
        frameon=False,
        fontsize=9,
        handlelength=1.2,
        columnspacing=1.2,
        borderaxespad=0.2,
    )
    _tidy(axes)


def _shown_labels(explanation: Explanation, labels: Sequence[str], peaks: Float64Array) -> dict[str, str]:
    """Return the compared labels and those with the highest peaks around the moment, each with its colour."""
    comparison = explanation.comparison
    compared = {} if comparison is None else {comparison.label: GOOD, comparison.against: BAD}
    others = [labels[i] for i in np.argsort(-peaks, kind="stable") if labels[i] not in compared]
    # The background may be compared without being a label, and then has no posterior.
    known = {label: colour for label, colour in compared.items() if label in labels}
    return known | dict(zip(others, OTHER_COLOURS, strict=False))


def _draw_thresholds(axes: Axes, explanation: Explanation, shown: Mapping[str, str]) -> None:
    """Draw one pair of lines for all labels, or one pair per label in its colour if they differ."""
    pairs = {
        label: (explanation.labels[label].onset_threshold, explanation.labels[label].offset_threshold)
        for label in shown
        if not is_reserved(label)
    }
    is_common = len(set(pairs.values())) == 1
    for label, (onset, offset) in list(pairs.items())[: 1 if is_common else None]:
        colour = PALE_INK if is_common else shown[label]
        for name, threshold, style in (("onset", onset, "--"), ("offset", offset, ":")):
            axes.axhline(threshold, color=colour, lw=1.3, ls=style, zorder=1)
            # Horizontally in shares of the axes, vertically in data: the name is at the right end of its line.
            axes.annotate(
                name,
                (1.0, threshold),
                (4, 0),
                xycoords=axes.get_yaxis_transform(),
                textcoords="offset points",
                va="center",
                fontsize=8,
                color=colour,
            )


def _mark_window(spectrogram: Axes, posteriors: Axes, explanation: Explanation) -> None:
    span = (explanation.start_t, explanation.t)
    spectrogram.axvspan(*span, facecolor="none", edgecolor="white", linewidth=1.8)
    posteriors.axvspan(*span, color=SHADE, linewidth=0, zorder=0)
    posteriors.axvline(explanation.t, color=INK, linewidth=1.2)


def _draw_bands(axes: Axes, comparison: MixtureComparison, spec: FeatureSpec) -> None:
    """Draw a bar for each band of the model, beside the spectrogram at the same frequency."""
    _, nats = by_kind_and_band(comparison.parts, spec.n_bands)
    *per_band, together = nats.sum(axis=0).tolist()
    edges = _mels(band_limits_hz(spec))
    _draw_bars(axes, edges[:-1] + np.diff(edges) / 2, per_band, 0.82 * np.diff(edges))
    axes.tick_params(labelleft=False)
    axes.set_title(f"by band (nat); all bands together {together:+.2f}", fontsize=11, color=INK, loc="left")


def _draw_kinds(axes: Axes, comparison: MixtureComparison, spec: FeatureSpec) -> None:
    """Draw a bar for each kind of features, the largest on top, and below them the other terms of the ratio."""
    kinds, nats = by_kind_and_band(comparison.parts, spec.n_bands)
    rows = sorted(zip(kinds, nats.sum(axis=1).tolist(), strict=True), key=lambda row: -abs(row[1]))
    rows += list(_other_terms(comparison))
    places = np.arange(len(rows))[::-1]
    values = [value for _, value in rows]
    _draw_bars(axes, places.astype(float), values, np.full(len(rows), 0.72))
    # 1 if all values are 0, as the limits of an axis must differ.
    reach = max(map(abs, values)) or 1.0
    for place, value in zip(places, values, strict=True):
        axes.text(
            value + np.copysign(0.02 * reach, value),
            place,
            f"{value:+.2f}",
            va="center",
            ha="left" if value >= 0.0 else "right",
            fontsize=9,
            color=INK,
        )
    # Room for the numbers at the ends of the bars.
    axes.set_xlim(min(0.0, *values) - 0.22 * reach, max(0.0, *values) + 0.22 * reach)
    axes.set_yticks(places, [name for name, _ in rows])
    axes.set_title("by kind of features (nat)", fontsize=11, color=INK, loc="left")


def _other_terms(comparison: MixtureComparison) -> Iterator[tuple[str, float]]:
    if comparison.frames is not None:
        yield "frames", comparison.frames
    # The rest is the error of the integration, too small for a bar of its own.
    yield "at training mean", comparison.baseline + comparison.rest


def _draw_bars(axes: Axes, places: FloatArray, values: Sequence[float], heights: FloatArray) -> None:
    colours = [GOOD if value >= 0.0 else BAD for value in values]
    axes.barh(places, values, heights, color=colours, linewidth=0)
    axes.axvline(0.0, color=INK, linewidth=0.9)
    axes.grid(axis="x", color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    _tidy(axes)


def _tidy(axes: Axes) -> None:
    axes.tick_params(colors=INK, length=0)
    axes.spines[:].set_visible(False)


def _draw_titles(figure: Figure, explanation: Explanation, title: str) -> None:
    answer = f"{spaced(explanation.label)} at {explanation.t:.2f} s"
    if explanation.best is not None and explanation.best != explanation.label:
        answer += f" (best label: {spaced(explanation.best)})"
    # `parse_math=False`: a dollar sign in a label or a file name does not begin a formula.
    figure.text(LEFT, 0.955, answer, fontsize=20, weight="bold", color=INK, va="center", parse_math=False)
    window = f"window {explanation.start_t:.2f} to {explanation.t:.2f} s  ·  {explanation.level_dbfs:.1f} dBFS"
    figure.text(LEFT, 0.912, f"{escaped(title)}  ·  {window}", fontsize=12, color=INK, va="center", parse_math=False)
    if (comparison := explanation.comparison) is not None:
        versus = f"{spaced(comparison.label)} rather than {spaced(comparison.against)}: {comparison.llr:+.2f} nat"
        figure.text(MIDDLE, 0.955, versus, fontsize=14, weight="bold", color=INK, va="center", parse_math=False)
        blue, orange = f"blue: for {spaced(comparison.label)}", f"orange: for {spaced(comparison.against)}"
        figure.text(MIDDLE, 0.912, blue, fontsize=12, color=GOOD, va="center", parse_math=False)
        figure.text(RIGHT, 0.912, orange, fontsize=12, color=BAD, ha="right", va="center", parse_math=False)
