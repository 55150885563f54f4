"""Fit the density of a background (see `BackgroundDensity`), and measure how often the background leaves it.

The windows of the background, in their order, are divided into blocks. Each block is scored by a density of the others,
smoothed as in a run, and its highest scores tell how often the background will be as strange as any level: above the
highest tenth, the rate falls exponentially with the strangeness, which is a logarithm (Weissman, JASA 73, 1978).
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, log
from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from streamgmm.arrays import Float32Array, Float64Array
from streamgmm.decision.anomaly import MIN_DURATION_WINDOWS, OFFSET_FACTOR, smoothing_gain
from streamgmm.features.spec import FeatureSpec
from streamgmm.labels import BACKGROUND
from streamgmm.model.density import AlarmTail, BackgroundDensity, squash
from streamgmm.model.mixture import MIN_VARIANCE
from streamgmm.training.extraction.clip_vectors import ClipVectors, one_at_a_time

MIN_BACKGROUND_S = 30.0
"""Shortest background that has a density."""

MAX_WINDOWS = 60_000
"""Most windows that a density is fitted to, two hours by default; of longer backgrounds, evenly spaced pieces."""

N_BLOCKS = 5

N_AXES = 64
"""Main axes. Between 20 and 100 the share of strange sounds that are found differs by less than a percent."""

MIN_DEVIATION = 1e-4
"""Features that vary less carry no information."""

PEAK_S = 2.0
"""Time to which one peak belongs: alarms that follow each other so closely are one."""

PEAK_SHARE, MIN_PEAKS = 0.1, 8
"""Share of the peaks that tell where the tail lies, and their least number."""

MEAN_EXCESS = 0.02
"""Least mean excess of the tail (nat), and the usual one: the estimate lies between it and that of the peaks, of which
some ten tell too little alone. Chosen on ten rooms, where that of the peaks gave more false alarms, and fewer strange
sounds were found."""


class _Piece(NamedTuple):
    """Neighbouring windows of one recording.

    Attributes:
        vectors: shape (n, f).
        block: the block to which they belong.
        inner: those that have no sample in common with windows of other blocks.
    """

    vectors: Float32Array
    block: int
    inner: slice


def fit_density(clips: Sequence[ClipVectors], spec: FeatureSpec) -> BackgroundDensity | None:
    """Fit a density to the background recordings of the user; None if these are too short.

    Args:
        clips: all clips of a training, with all windows of each in order; only those of the background are used.
        spec: features of the model.
    """
    pieces = _pieces([clip for clip in clips if clip.clip.label == BACKGROUND and not clip.is_world], spec)
    n_windows = sum(len(piece.vectors) for piece in pieces)
    hop_s = spec.hop_samples / spec.sample_rate_hz
    if n_windows * hop_s < MIN_BACKGROUND_S:
        return None
    unknown = AlarmTail(0.0, 1.0, 1.0)
    peaks: list[float] = []
    for block in range(N_BLOCKS):
        density = _fit([piece.vectors for piece in pieces if piece.block != block], unknown)
        for piece in pieces:
            if piece.block == block:
                peaks += _peaks_of(piece.vectors[piece.inner], density, spec)
    if len(peaks) <= MIN_PEAKS:
        return None
    return _fit([piece.vectors for piece in pieces], _tail(np.array(peaks), spec))


def _pieces(clips: Sequence[ClipVectors], spec: FeatureSpec) -> list[_Piece]:
    """Return the whole windows of all clips, in blocks of equal length; recordings of one source lie side by side."""
    n_partial = spec.window_samples // spec.hop_samples - 1
    ordered = sorted(clips, key=lambda one: (one.clip.source_id, one.clip.content_sha256, one.clip.onset_s or 0.0))
    # The first windows of a clip are incomplete, and unlike all others.
    n_all = sum(max(0, len(clip.vectors) - n_partial) for clip in ordered)
    bounds = np.linspace(0, n_all, N_BLOCKS + 1).astype(int)
    n_kept_of_block = max(1, MAX_WINDOWS // N_BLOCKS)
    pieces, first = [], 0
    for clip in one_at_a_time(ordered):
        vectors = clip.vectors[n_partial:]
        for block in range(N_BLOCKS):
            begin, end = np.clip(bounds[block : block + 2] - first, 0, len(vectors)).tolist()
            if begin < end:
                share = min(1.0, n_kept_of_block / (bounds[block + 1] - bounds[block]))
                kept = vectors[begin : begin + ceil(share * (end - begin))].copy()
                inner = slice(n_partial if begin else 0, len(kept) - (n_partial if end < len(vectors) else 0))
                pieces.append(_Piece(kept, block, inner))
        first += len(vectors)
    return pieces


def _fit(parts: Sequence[Float32Array], tail: AlarmTail) -> BackgroundDensity:
    """Fit to windows, shape (n, f) each."""
    n = sum(map(len, parts))
    # Part by part, as all of them at once would take their memory again in double precision.
    mean = np.sum([part.sum(axis=0, dtype=np.float64) for part in parts], axis=0) / n
    squares = np.sum([np.square(part - mean).sum(axis=0) for part in parts], axis=0)
    deviations = np.sqrt(squares / n)
    is_used = deviations >= MIN_DEVIATION
    weights = np.where(is_used, 1.0 / np.where(is_used, deviations, 1.0), 0.0)
    total, products = np.zeros(len(mean)), np.zeros((len(mean), len(mean)))
    for part in parts:
        squashed = squash(part.astype(np.float64), mean, weights)
        total += squashed.sum(axis=0)
        products += squashed.T @ squashed
    centre = total / n
    variances, axes = np.linalg.eigh(products / n - np.outer(centre, centre))
    n_axes = min(N_AXES, n // 4, len(mean) - 1)
    # Ascending: the main axes are the last.
    rest = variances[:-n_axes].sum() / max(1, int(is_used.sum()) - n_axes)
    return BackgroundDensity(
        mean=mean,
        weights=weights,
        centre=centre,
        axes=_with_signs(axes[:, : -n_axes - 1 : -1]),
        variances=np.maximum(variances[: -n_axes - 1 : -1], MIN_VARIANCE),
        rest_variance=max(float(rest), MIN_VARIANCE),
        tail=tail,
    )


def _with_signs(axes: Float64Array) -> Float64Array:
    """Return axes of which the largest entry is positive: the sign of an eigenvector is arbitrary."""
    largest = axes[np.abs(axes).argmax(axis=0), np.arange(axes.shape[1])]
    signed: Float64Array = axes * np.where(largest < 0.0, -1.0, 1.0)
    return signed


def _peaks_of(vectors: Float32Array, density: BackgroundDensity, spec: FeatureSpec) -> list[float]:
    """Return the highest level at which each time of `PEAK_S` would make an event, in windows that were held out."""
    n_window, hop_s = spec.window_samples // spec.hop_samples, spec.hop_samples / spec.sample_rate_hz
    n_least, n_peak = max(1, ceil(MIN_DURATION_WINDOWS * n_window - 1e-9)), max(1, round(PEAK_S / hop_s))
    if len(vectors) < n_least:
        return []
    smooth = smoothed(density.strangeness_of_many(vectors.astype(np.float64)), smoothing_gain(hop_s))
    # An event starts at the onset threshold, and may then fall as low as the offset threshold.
    lasting = sliding_window_view(smooth, n_least).min(axis=1) + MEAN_EXCESS * log(OFFSET_FACTOR)
    levels = np.minimum(smooth[: len(lasting)], lasting)
    return [float(levels[i : i + n_peak].max()) for i in range(0, len(levels), n_peak)]


def smoothed(strangeness: Float64Array, gain: float) -> Float64Array:
    """Return the exponential mean of each hop, shape (n,), as `AnomalyJudge` takes it."""
    means = strangeness.copy()
    for i in range(1, len(means)):
        means[i] = means[i - 1] + gain * (strangeness[i] - means[i - 1])
    return means


def _tail(peaks: Float64Array, spec: FeatureSpec) -> AlarmTail:
    """Return the tail of the peaks, each of `PEAK_S`."""
    hop_s = spec.hop_samples / spec.sample_rate_hz
    hours = len(peaks) * max(1, round(PEAK_S / hop_s)) * hop_s / 3600.0
    falling = np.sort(peaks)[::-1]
    n_highest = min(max(MIN_PEAKS, ceil(PEAK_SHARE * len(peaks))), len(peaks) - 1)
    level = float(falling[n_highest])
    own = float(falling[:n_highest].mean()) - level
    return AlarmTail(level, n_highest / hours, max(MEAN_EXCESS, 0.5 * (MEAN_EXCESS + own)))
