"""The gates between a posterior and an answer: silence, unusable numbers, background, unknown.

`silence` (below the gate), `background` (fits the background better) and `unknown` (fits nothing) are
three different answers; each refuses the label for another reason.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from streamgmm.arrays import BoolArray, Float64Array
from streamgmm.decision.hop_scores import HopScores
from streamgmm.labels import BACKGROUND, SILENCE, UNKNOWN
from streamgmm.records import RejectReason

GATES: tuple[RejectReason, ...] = ("silence", "nonfinite", "background", "unknown")
"""All gates in the order in which they are asked: the first two by `screen`, the others by `decide`."""


class Verdict(NamedTuple):
    """The answer for one hop.

    Attributes:
        label: a label of the model, or `silence`, `background`, `unknown`.
        score: smoothed posterior of the best label, even if a gate refused it; 0 if nothing was scored.
        llr: its log-likelihood ratio to the background (nat); None if nothing was scored.
        reject: the gate that refused the best label; None if none did.
    """

    label: str
    score: float
    llr: float | None
    reject: RejectReason | None


def screen(hop: HopScores, silence_gate_dbfs: float) -> Verdict | None:
    """The gates before smoothing: silence first, then numbers that are not finite; None if it may be scored."""
    # First, because features of digital silence may well not be finite, and it is silence all the same.
    if hop.level_dbfs < silence_gate_dbfs:
        return Verdict(SILENCE, 0.0, None, "silence")
    is_finite = math.isfinite(hop.level_dbfs) and np.isfinite(hop.log_likelihoods).all() and np.isfinite(hop.llrs).all()
    return None if is_finite else Verdict(UNKNOWN, 0.0, None, "nonfinite")


def decide(labels: tuple[str, ...], posteriors: Float64Array, hop: HopScores, min_llr: float) -> Verdict:
    """The gates after smoothing, on the best label: background, then unknown.

    A reserved label that was trained may win like any other; it only never makes an event.

    Args:
        labels: names of the model's labels.
        posteriors: float64, shape (n_labels,), smoothed.
        hop: the hop, which passed `screen`.
        min_llr: log-likelihood ratio to the background that a label needs (nat).
    """
    best = int(posteriors.argmax())
    score, llr = float(posteriors[best]), float(hop.llrs[best])
    # The gates look at this hop alone: a smoothed label must not outlive its sound.
    if llr < min_llr:
        return Verdict(BACKGROUND, score, llr, "background")
    if not hop.is_in_domain[best]:
        return Verdict(UNKNOWN, score, llr, "unknown")
    return Verdict(labels[best], score, llr, None)


def event_scores(posteriors: Float64Array, hop: HopScores, min_llr: float, is_reserved: BoolArray) -> Float64Array:
    """The smoothed posterior of every label that passes the gates by itself, 0 for the others.

    Args:
        posteriors: float64, shape (n_labels,), smoothed.
        hop: the hop, which passed `screen`.
        min_llr: log-likelihood ratio to the background that a label needs (nat).
        is_reserved: bool, shape (n_labels,), labels that never make an event.
    """
    is_accepted = (hop.llrs >= min_llr) & hop.is_in_domain & ~is_reserved
    return np.where(is_accepted, posteriors, 0.0)
