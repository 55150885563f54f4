"""The gates between a posterior and an answer: silence, unusable numbers, background, unknown.

A label is rejected as `silence` if the level is below the gate, as `background` if the sound fits the background model
better, and as `unknown` if it fits no label.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streamgmm.arrays import BoolArray, Float64Array
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
    return screen_stack([hop], silence_gate_dbfs)[0]


def screen_stack(hops: Sequence[HopScores], silence_gate_dbfs: float) -> list[Verdict | None]:
    """Return what `screen` does for each of several hops of one model."""
    numbers = np.array([(hop.log_likelihoods, hop.llrs) for hop in hops])
    are_finite = np.logical_and.reduce(np.isfinite(numbers), axis=(1, 2)).tolist()
    each = zip(hops, are_finite, strict=True)
    return [_screen(hop.level_dbfs, silence_gate_dbfs, is_finite=is_finite) for hop, is_finite in each]


def _screen(level_dbfs: float, silence_gate_dbfs: float, *, is_finite: bool) -> Verdict | None:
    # Silence first: features of digital silence may not be finite, and the answer is still silence.
    if level_dbfs < silence_gate_dbfs:
        return Verdict(SILENCE, 0.0, None, "silence")
    return None if is_finite and math.isfinite(level_dbfs) else Verdict(UNKNOWN, 0.0, None, "nonfinite")


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


def event_scores(
    posteriors: Float64Array, hops: Sequence[HopScores], min_llr: float, is_reserved: BoolArray
) -> Float64Array:
    """Return the smoothed posterior of each label that passes the gates by itself, 0 for other labels.

    Args:
        posteriors: float64, shape (n, n_labels), smoothed; the result has its shape.
        hops: n hops that passed `screen`.
        min_llr: minimum log-likelihood ratio of a label to the background (nat).
        is_reserved: bool, shape (n_labels,), labels that never make an event.
    """
    llrs, are_in_domain = np.array([hop.llrs for hop in hops]), np.array([hop.is_in_domain for hop in hops])
    # Each label by itself, not the best one alone: two sounds at the same time make two events.
    are_accepted = (llrs >= min_llr) & are_in_domain & ~is_reserved
    return np.where(are_accepted, posteriors, 0.0)
