"""One answer for a whole clip, from the same frames that make events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streamgmm.decision.frame import Frame, Reals
from streamgmm.labels import SILENCE, UNKNOWN


class ClipDecision(NamedTuple):
    """What a clip is.

    Attributes:
        label: the answer: a label of the model, `silence`, or `unknown`.
        score: mean posterior of the best label, 0 for `silence`.
        scores: mean posterior of each label over the windows that were not silent.
        n_windows: how many windows decided.
    """

    label: str
    score: float
    scores: dict[str, float]
    n_windows: int


class ClipDecider:
    """Collects the frames of a clip.

    The posterior of a clip is the mean of its windows': a vote in which a sure window counts more. The
    clip is `unknown` when the best label's mixture does not know more than half of the windows.

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
        self._n_in_domain = np.zeros(len(self._labels), dtype=np.int64)
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
        self._posterior_sums += odds / odds.sum()
        self._n_in_domain += frame.is_in_domain
        self._n_windows += 1

    def decide(self) -> ClipDecision:
        """The answer from all windows so far."""
        posteriors = self._posterior_sums / max(1, self._n_windows)
        scores = dict(zip(self._labels, posteriors.tolist(), strict=True))
        if not self._n_windows:
            return ClipDecision(UNKNOWN if self._n_refused else SILENCE, 0.0, scores, 0)
        best = int(posteriors.argmax())
        is_known = 2 * self._n_in_domain[best] >= self._n_windows
        return ClipDecision(
            self._labels[best] if is_known else UNKNOWN, float(posteriors[best]), scores, self._n_windows
        )
