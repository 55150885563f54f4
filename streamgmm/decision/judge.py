"""What each hop is worth to the automata: the gates before smoothing, the smoother, the gates after it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streamgmm.arrays import Float64Array
from streamgmm.config import DecisionSection
from streamgmm.decision.hop_scores import HopScores
from streamgmm.decision.rejection import Verdict, decide, event_scores, screen
from streamgmm.decision.smoothing import make_smoother
from streamgmm.labels import is_reserved


class Judgement(NamedTuple):
    """What one hop is worth.

    Attributes:
        verdict: the answer for the hop.
        posteriors: float64, shape (n_labels,), smoothed; zeros if nothing was scored.
        scores: float64, shape (n_labels,), the posterior of each label that passed the gates, 0 for the others.
    """

    verdict: Verdict
    posteriors: Float64Array
    scores: Float64Array


class Judge:
    """The part of the decisions that no threshold, duration or time of a label has a say in.

    Silence resets the smoother, so that the next sound starts fresh instead of from what was heard
    before it; a hop with numbers that are not finite leaves it untouched. Both are worth zeros.

    Args:
        labels: names of the model's labels; a reserved one may win, but has no score.
        section: the configuration.
        hop_s: stride of windows.
        log_priors: float64, shape (n_labels,), log prior of each label (nat).
        likelihood_scale: factor on log-likelihoods that calibrates the posteriors.
    """

    def __init__(
        self,
        labels: Sequence[str],
        section: DecisionSection,
        *,
        hop_s: float,
        log_priors: Float64Array,
        likelihood_scale: float,
    ) -> None:
        self._labels = tuple(labels)
        self._section = section
        self._log_priors = np.asarray(log_priors, dtype=np.float64)
        self._likelihood_scale = likelihood_scale
        self._is_reserved = np.array([is_reserved(label) for label in labels])
        self._nothing = np.zeros(len(labels))
        self._smoother = make_smoother(section, hop_s, len(labels))

    def update(self, hop: HopScores) -> Judgement:
        """What one more hop, with log-likelihoods of shape (n_labels,), is worth."""
        verdict = screen(hop, self._section.silence_gate_dbfs)
        if verdict is not None:
            if verdict.reject == "silence":
                self._smoother.reset()
            return Judgement(verdict, self._nothing, self._nothing)
        posteriors = self._smoother.update(self._likelihood_scale * hop.log_likelihoods + self._log_priors)
        verdict = decide(self._labels, posteriors, hop, self._section.min_llr)
        return Judgement(verdict, posteriors, event_scores(posteriors, hop, self._section.min_llr, self._is_reserved))

    def reset(self) -> None:
        """Forget what was heard."""
        self._smoother.reset()
