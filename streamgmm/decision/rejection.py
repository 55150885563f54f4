"""The gates between a posterior and an answer: silence, unusable numbers, background, unknown.

A label is rejected as `silence` if the level is below the gate, as `background` if the sound fits the background model
better, and as `unknown` if it fits no label.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from streamgmm.arrays import BoolArray, Float64Array
from streamgmm.labels import BACKGROUND, SILENCE, UNKNOWN
from streamgmm.records import RejectReason

GATES: tuple[RejectReason, ...] = ("silence", "nonfinite", "background", "unknown")
"""All gates in their order of application: the first two in `screen`, the others in `decide`."""


class Verdict(NamedTuple):
    """The answer for one hop.

    Attributes:
        label: a label of the model, or `silence`, `background`, `unknown`.
        score: smoothed posterior of the best label, even if a gate rejected it; 0 if the hop was not scored.
        llr: log-likelihood ratio of the best label to the background (nat); None if the hop was not scored.
        reject: the gate that rejected the best label; None if it passed.
    """

    label: str
    score: float
    llr: float | None
    reject: RejectReason | None


SILENT = Verdict(SILENCE, 0.0, None, "silence")
"""The answer for a hop below the silence gate."""

NOT_FINITE = Verdict(UNKNOWN, 0.0, None, "nonfinite")
"""The answer for a hop with numbers that are not finite."""


def screen(level_dbfs: float, silence_gate_dbfs: float, *, is_finite: bool) -> Verdict | None:
    """Apply the gates before smoothing: silence, then numbers that are not finite; return None if the hop passes.

    Args:
        level_dbfs: level of the hop (dB re full scale).
        silence_gate_dbfs: level below which a hop is silent.
        is_finite: whether all log-likelihoods of the hop are finite.
    """
    # Silence first: features of digital silence may not be finite, and the answer is still silence.
    if level_dbfs < silence_gate_dbfs:
        return SILENT
    return None if is_finite and math.isfinite(level_dbfs) else NOT_FINITE


def decide(label: str, score: float, llr: float, min_llr: float, *, is_in_domain: bool) -> Verdict:
    """Apply the gates after smoothing to the best label: background, then unknown.

    A trained reserved label may win like any other; it just never makes an event.

    Args:
        label: the label with the highest smoothed posterior.
        score: that posterior.
        llr: log-likelihood ratio of the label to the background (nat).
        min_llr: minimum of `llr`.
        is_in_domain: whether the log-likelihood reaches the floor of the label.
    """
    # The gates use this hop alone: smoothing must not keep a label after its sound has ended.
    if llr < min_llr:
        return Verdict(BACKGROUND, score, llr, "background")
    if not is_in_domain:
        return Verdict(UNKNOWN, score, llr, "unknown")
    return Verdict(label, score, llr, None)


def event_scores(
    posteriors: Float64Array, llrs: Float64Array, are_in_domain: BoolArray, min_llr: float, has_events: BoolArray
) -> Float64Array:
    """Return the smoothed posterior of each label that passes the gates by itself, 0 for other labels.

    Args:
        posteriors: float64, shape (n, n_labels), smoothed, of n hops that passed `screen`.
        llrs: float64, shape (n, n_labels), log-likelihood ratios of the labels to the background (nat).
        are_in_domain: bool, shape (n, n_labels), whether the log-likelihoods reach the floors.
        min_llr: minimum log-likelihood ratio.
        has_events: bool, shape (n_labels,), false for reserved labels.

    Returns:
        float64, shape (n, n_labels).
    """
    # Each label by itself, not the best one alone: two sounds at the same time make two events.
    are_accepted = (llrs >= min_llr) & are_in_domain & has_events
    return np.where(are_accepted, posteriors, 0.0)
