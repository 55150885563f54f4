"""Figures for answers: how far posteriors can be trusted, and how well the unknown is told from the known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from streamgmm.arrays import BoolArray, Float64Array

N_BINS = 15
"""Bins of equal width for calibration errors, as in Guo et al., ICML, 2017."""

MIN_POSTERIOR = float(np.finfo(np.float64).eps)
"""What a posterior counts for at least: a single sure mistake must not make a log loss infinite."""


class Bin(NamedTuple):
    """Answers of about the same posterior.

    Attributes:
        n_clips: how many.
        confidence: their mean posterior.
        share_right: how many of them were right.
    """

    n_clips: int
    confidence: float
    share_right: float


def log_loss(posteriors: Float64Array, true_indices: Sequence[int]) -> float:
    """Mean negative logarithm of the true label's posterior (nat).

    Args:
        posteriors: shape (n, n_labels), rows sum to 1; n at least 1.
        true_indices: n columns.
    """
    of_truth = posteriors[np.arange(len(posteriors)), true_indices]
    return float(-np.log(np.maximum(of_truth, MIN_POSTERIOR)).mean())


def reliability(confidences: Float64Array, is_right: BoolArray, n_bins: int = N_BINS) -> list[Bin]:
    """Answers by the posterior of the best label, in bins of equal width that include their upper edge.

    Args:
        confidences: shape (n,), 0 to 1.
        is_right: shape (n,).
        n_bins: between 0 and 1; those without an answer are left out of the result.
    """
    places = np.clip(np.ceil(confidences * n_bins).astype(int) - 1, 0, n_bins - 1)
    members = [places == place for place in np.unique(places)]
    return [Bin(int(own.sum()), float(confidences[own].mean()), float(is_right[own].mean())) for own in members]


def calibration_error(bins: Sequence[Bin]) -> float:
    """Expected calibration error: mean distance of posterior and share right over bins (Guo et al., ICML, 2017)."""
    n_clips = sum(one.n_clips for one in bins)
    return sum(one.n_clips * abs(one.confidence - one.share_right) for one in bins) / n_clips


def auroc(known: Float64Array, unknown: Float64Array) -> float:
    """How often a known clip scores above an unknown one, ties counting half (Mann and Whitney, 1947)."""
    ranks = rankdata(np.concatenate([known, unknown]))
    n_pairs = len(known) * len(unknown)
    return float((ranks[: len(known)].sum() - len(known) * (len(known) + 1) / 2) / n_pairs)


def accepted_unknown(known: Float64Array, unknown: Float64Array, share_known: float = 0.9) -> float:
    """Share of unknown clips at or above the highest threshold that accepts `share_known` of the known."""
    n_accepted = int(np.ceil(share_known * len(known) - 1e-9))
    threshold = np.sort(known)[len(known) - n_accepted]
    return float(np.mean(unknown >= threshold))


def standard_error(values: Sequence[float]) -> float | None:
    """Of the mean of `values`; None of a single one."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
