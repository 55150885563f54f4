"""One answer for a whole clip, from the same frames that make events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from streamgmm.decision.frame import Frame, Reals
from streamgmm.labels import SILENCE, UNKNOWN

Shares = TypeVar("Shares", float, Reals)
"""Of one window, or an array of those of several."""

MIN_KNOWNNESS = 0.5
"""Below it a clip is `unknown`."""


class ClipDecision(NamedTuple):
    """What a clip is.

    Attributes:
        label: the answer: a label of the model, `silence`, or `unknown`.
        score: mean posterior of the best label, 0 for `silence`.
        scores: mean posterior of each label over the windows that were not silent.
        n_windows: how many windows decided.
        knownness: how sure it is that the clip is of any label at all, 0 to 1; below `MIN_KNOWNNESS` it is
            `unknown`.
    """

    label: str
    score: float
    scores: dict[str, float]
    n_windows: int
    knownness: float = 0.0


def vote_weight(window_share: Shares) -> Shares:
    """How much a window counts in the vote on a clip, when only a share of it has been heard.

    The first windows of a clip hold only its beginning: the first syllable of a word is not yet the word. The
    square was better than equal votes and than the share itself on spoken words, and makes no difference on
    long clips.
    """
    return window_share * window_share


class ClipDecider:
    """Collects the frames of a clip.

    The posterior of a clip is the mean of its windows', each weighing as `vote_weight` says: a vote in which a
    sure window counts more. The clip is `unknown` when the best label's mixture does not know more than half of
    the votes.

    Args:
        labels: names of the model's labels.
        silence_gate_dbfs: windows whose hop is below it have no vote.
        log_priors: float64, shape (n_labels,), nat.
        likelihood_scale: factor on log-likelihoods that calibrates the posteriors.
    """

    def __init__(
        self, labels: Sequence[str], *, silence_gate_dbfs: float, log_priors: Reals, likelihood_scale: float
    ) -> None:
        self._labels = tuple(labels)
        self._silence_gate_dbfs = silence_gate_dbfs
        self._log_priors = log_priors
        self._likelihood_scale = likelihood_scale
        self.reset()

    def reset(self) -> None:
        """Begin a new clip."""
        self._posterior_sums = np.zeros(len(self._labels))
        self._in_domain_sums = np.zeros(len(self._labels))
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
        weight = vote_weight(frame.window_share)
        self._posterior_sums += weight * odds / odds.sum()
        self._in_domain_sums += weight * frame.is_in_domain
        self._weight_sum += weight
        self._n_windows += 1

    def decide(self) -> ClipDecision:
        """The answer from all windows so far."""
        posteriors = self._posterior_sums / (self._weight_sum or 1.0)
        scores = dict(zip(self._labels, posteriors.tolist(), strict=True))
        if not self._n_windows:
            return ClipDecision(UNKNOWN if self._n_refused else SILENCE, 0.0, scores, 0)
        best = int(posteriors.argmax())
        knownness = self._knownness(best)
        label = self._labels[best] if knownness >= MIN_KNOWNNESS else UNKNOWN
        return ClipDecision(label, float(posteriors[best]), scores, self._n_windows, knownness)

    def _knownness(self, best: int) -> float:
        """Share of the votes of windows that the best label's mixture knows."""
        return float(self._in_domain_sums[best] / self._weight_sum)
