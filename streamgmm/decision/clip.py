"""One answer for a whole clip, from the same frames that make events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from streamgmm.decision.frame import Frame, Reals
from streamgmm.labels import SILENCE, UNKNOWN, is_reserved

Values = TypeVar("Values", float, Reals)
"""Of one window, or an array of those of several."""


class ClipDecision(NamedTuple):
    """What a clip is.

    Attributes:
        label: the answer: a label of the model, `silence`, or `unknown`.
        score: posterior of the best label, 0 for `silence`.
        scores: posterior of each label, from the windows that were not silent.
        n_windows: how many windows decided.
        knownness: how sure it is that the clip is of any label at all, 0 to 1: the highest posterior of a label
            that is not reserved.
    """

    label: str
    score: float
    scores: dict[str, float]
    n_windows: int
    knownness: float = 0.0


def vote_weight(window_share: Values, window_level_dbfs: Values) -> Values:
    """How much a window counts in the vote on a clip, relative to others.

    It grows with the share of a whole window that has been heard, squared: the first windows of a clip hold only its
    beginning, and the first syllable of a word is not yet the word. And it grows with the amplitude of the window:
    where a sound pauses, the noise of the place is left, which says little of the sound and must not outvote it. In
    noise at 10 dB that is worth seven points and more, and nothing in quiet places.

    Args:
        window_share: above 0 to 1.
        window_level_dbfs: of the whole window.
    """
    amplitude: Values = 10.0 ** (window_level_dbfs / 20.0)
    return window_share * window_share * amplitude


def sharpened(posteriors: Reals, sharpness: float) -> Reals:
    """Posteriors (..., n_labels) to the power of `sharpness`, made to sum to 1 again; zeros stay zeros."""
    powers: Reals = posteriors**sharpness
    totals = powers.sum(axis=-1, keepdims=True)
    shares: Reals = np.divide(powers, totals, out=np.zeros_like(powers), where=totals > 0.0)
    return shares


class ClipDecider:
    """Collects the frames of a clip.

    The mean posterior of its windows, each weighing as `vote_weight` says, is a vote in which a sure window counts
    more. Its outcome is too modest as a posterior of the clip, as windows that agree make each other surer: its
    sharpness, fitted on held-out clips, calibrates it. When a stranger comes, the labels share the posterior, so a
    clip is `unknown` when the best label, if not reserved, has too little of it (Hendrycks and Gimpel, ICLR, 2017).

    Args:
        labels: names of the model's labels.
        silence_gate_dbfs: windows whose hop is below it have no vote.
        log_priors: float64, shape (n_labels,), nat.
        likelihood_scale: factor on log-likelihoods that calibrates the posteriors of windows.
        sharpness: exponent that calibrates those of clips.
        min_knownness: below it a clip is `unknown`.
    """

    def __init__(
        self,
        labels: Sequence[str],
        *,
        silence_gate_dbfs: float,
        log_priors: Reals,
        likelihood_scale: float,
        sharpness: float = 1.0,
        min_knownness: float = 0.0,
    ) -> None:
        self._labels = tuple(labels)
        self._is_label = np.array([not is_reserved(label) for label in labels])
        self._sharpness = sharpness
        self._min_knownness = min_knownness
        self._silence_gate_dbfs = silence_gate_dbfs
        self._log_priors = log_priors
        self._likelihood_scale = likelihood_scale
        self.reset()

    def reset(self) -> None:
        """Begin a new clip."""
        self._posterior_sums = np.zeros(len(self._labels))
        self._weight_sum = 0.0
        self._n_windows = 0
        self._n_refused = 0

    def add(self, frame: Frame) -> None:
        """Let one window vote."""
        if frame.level_dbfs < self._silence_gate_dbfs:
            return
        if not np.isfinite(frame.log_likelihoods).all():
            self._n_refused += 1
            return
        logits = self._likelihood_scale * frame.log_likelihoods + self._log_priors
        odds = np.exp(logits - logits.max())
        weight = vote_weight(frame.window_share, frame.window_level_dbfs)
        self._posterior_sums += weight * odds / odds.sum()
        self._weight_sum += weight
        self._n_windows += 1

    def decide(self) -> ClipDecision:
        """The answer from all windows so far."""
        posteriors = sharpened(self._posterior_sums / (self._weight_sum or 1.0), self._sharpness)
        scores = dict(zip(self._labels, posteriors.tolist(), strict=True))
        if not self._n_windows:
            return ClipDecision(UNKNOWN if self._n_refused else SILENCE, 0.0, scores, 0)
        best = int(posteriors.argmax())
        knownness = float(posteriors[self._is_label].max(initial=0.0))
        is_known = knownness >= self._min_knownness or not self._is_label[best]
        label = self._labels[best] if is_known else UNKNOWN
        return ClipDecision(label, float(posteriors[best]), scores, self._n_windows, knownness)
