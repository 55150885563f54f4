"""The gates between a posterior and an answer: silence, unusable numbers, background, unknown.

A label is rejected as `silence` if the level is below the gate, as `background` if the sound fits the background model
better, and as `unknown` if it fits no label.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from streamgmm.arrays import BoolArray, Float64Array, are_finite
from streamgmm.decision.hop_scores import HopScores
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


def screen(hop: HopScores, silence_gate_dbfs: float) -> Verdict | None:
    """Apply the gates before smoothing: silence, then numbers that are not finite; return None if the hop passes."""
    # Silence first: features of digital silence may not be finite, and the answer is still silence.
    if hop.level_dbfs < silence_gate_dbfs:
        return Verdict(SILENCE, 0.0, None, "silence")
    is_finite = math.isfinite(hop.level_dbfs) and are_finite(hop.log_likelihoods) and are_finite(hop.llrs)
    return None if is_finite else Verdict(UNKNOWN, 0.0, None, "nonfinite")


def decide(labels: tuple[str, ...], posteriors: Float64Array, hop: HopScores, min_llr: float) -> Verdict:
    """Apply the gates after smoothing to the best label: background, then unknown.

    A trained reserved label may win like any other; it just never makes an event.

    Args:
        labels: names of the model's labels.
        posteriors: float64, shape (n_labels,), smoothed.
        hop: a hop that passed `screen`.
        min_llr: minimum log-likelihood ratio of a label to the background (nat).
    """
    best = int(posteriors.argmax())
    score, llr = float(posteriors[best]), float(hop.llrs[best])
    # The gates use this hop alone: smoothing must not keep a label after its sound has ended.
    if llr < min_llr:
        return Verdict(BACKGROUND, score, llr, "background")
    if not hop.is_in_domain[best]:
        return Verdict(UNKNOWN, score, llr, "unknown")
    return Verdict(labels[best], score, llr, None)


def event_scores(posteriors: Float64Array, hop: HopScores, min_llr: float, is_reserved: BoolArray) -> Float64Array:
    """Return the smoothed posterior of each label that passes the gates by itself, 0 for other labels.

    Args:
        posteriors: float64, shape (n_labels,), smoothed.
        hop: a hop that passed `screen`.
        min_llr: minimum log-likelihood ratio of a label to the background (nat).
        is_reserved: bool, shape (n_labels,), labels that never make an event.
    """
    # Each label by itself, not the best one alone: two sounds at the same time make two events.
    is_accepted = (hop.llrs >= min_llr) & hop.is_in_domain & ~is_reserved
    return np.where(is_accepted, posteriors, 0.0)
