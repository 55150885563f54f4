"""Metrics of answers: calibration of posteriors, and separation of known from unknown classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from streamgmm.arrays import BoolArray, Float64Array

N_BINS = 15
"""Bins of equal width for calibration errors, as in Guo et al., ICML, 2017."""

LEAST_POSTERIOR = float(np.finfo(np.float64).eps)
"""Lower limit of posteriors in a log loss: a single confident mistake must not make it infinite."""


class Bin(NamedTuple):
    """Answers with similar posteriors.

    Attributes:
        n_clips: number of answers.
        confidence: mean posterior of the best label, 0 to 1.
        share_right: share of right answers, 0 to 1.
    """

    n_clips: int
    confidence: float
    share_right: float


def log_loss(posteriors: Float64Array, true_indices: Sequence[int]) -> float:
    """Return the mean negative logarithm of the posterior of the true label (nat).

    Args:
        posteriors: shape (n, n_labels), rows sum to 1; n at least 1.
        true_indices: column of the true label in each row.
    """
    of_truth = posteriors[np.arange(len(posteriors)), true_indices]
    return float(-np.log(np.maximum(of_truth, LEAST_POSTERIOR)).mean())


def reliability(confidences: Float64Array, is_right: BoolArray, n_bins: int = N_BINS) -> list[Bin]:
    """Group answers by the posterior of the best label, in bins of equal width that include their upper edge.

    Args:
        confidences: shape (n,), 0 to 1.
        is_right: shape (n,).
        n_bins: number of bins between 0 and 1; empty bins are left out of the result.
    """
    # An edge belongs to the bin below it; a posterior of 0 has none below, and goes to the first bin.
    places = np.clip(np.ceil(confidences * n_bins).astype(int) - 1, 0, n_bins - 1)
    members = [places == place for place in np.unique(places)]
    return [Bin(int(own.sum()), float(confidences[own].mean()), float(is_right[own].mean())) for own in members]


def calibration_error(bins: Sequence[Bin]) -> float:
    """Return the expected calibration error: mean distance of posterior and accuracy (Guo et al., ICML, 2017)."""
    n_clips = sum(one.n_clips for one in bins)
    return sum(one.n_clips * abs(one.confidence - one.share_right) for one in bins) / n_clips


def auroc(known: Float64Array, unknown: Float64Array) -> float:
    """Return the share of pairs in which the known clip scores above the unknown one; ties count half.

    The area under the ROC curve (Mann and Whitney, 1947), from scores of shapes (n_known,) and (n_unknown,).
    """
    # The U statistic from the sum of ranks; tied scores share their mean rank, and so count half.
    ranks = rankdata(np.concatenate([known, unknown]))
    n_pairs = len(known) * len(unknown)
    return float((ranks[: len(known)].sum() - len(known) * (len(known) + 1) / 2) / n_pairs)


def accepted_unknown(known: Float64Array, unknown: Float64Array, share_known: float = 0.9) -> float:
    """Return the share of unknown clips at or above the highest threshold that accepts `share_known` of the known."""
    # A product that exceeds a whole number by a rounding error must not accept one clip more.
    n_accepted = int(np.ceil(share_known * len(known) - 1e-9))
    threshold = np.sort(known)[len(known) - n_accepted]
    return float(np.mean(unknown >= threshold))


def standard_error_of_mean(values: Sequence[float]) -> float | None:
    """Return the standard error of the mean of independent `values`; None of a single one."""
    return float(np.std(values, ddof=1) / np.sqrt(len(values))) if len(values) > 1 else None
