"""Gates and smoothing: from the scores of a hop to the scores that the automata get."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streamgmm.arrays import Float64Array
from streamgmm.decision.hop_scores import HopScores
from streamgmm.decision.rejection import Verdict, decide, event_scores, screen
from streamgmm.decision.smoothing import make_smoother
from streamgmm.labels import is_reserved
from streamgmm.settings.decision import DecisionSection


class Judgement(NamedTuple):
    """The result for one hop.

    Attributes:
        verdict: the answer for the hop.
        posteriors: float64, shape (n_labels,), smoothed; zeros if the hop was rejected before scoring.
        scores: float64, shape (n_labels,), the posterior of each label that passed the gates, 0 for other labels.
    """

    verdict: Verdict
    posteriors: Float64Array
    scores: Float64Array


class Judge:
    """The part of the decisions that does not depend on thresholds or durations of labels.

    Silence resets the smoother, so that the next sound does not start from the posteriors of the previous one. A hop
    with numbers that are not finite leaves the smoother unchanged. Both give scores of 0.

    Args:
        labels: names of the model's labels; a reserved one may win, but has no score.
        section: settings of the decisions.
        hop_s: distance between windows.
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
        """Process one hop, with log-likelihoods of shape (n_labels,)."""
        verdict = screen(hop, self._section.silence_gate_dbfs)
        if verdict is not None:
            if verdict.reject == "silence":
                self._smoother.reset()
            return Judgement(verdict, self._nothing, self._nothing)
        # The scale applies to likelihoods only: features depend on each other, which makes these overconfident.
        posteriors = self._smoother.update(self._likelihood_scale * hop.log_likelihoods + self._log_priors)
        verdict = decide(self._labels, posteriors, hop, self._section.min_llr)
        return Judgement(verdict, posteriors, event_scores(posteriors, hop, self._section.min_llr, self._is_reserved))

    def reset(self) -> None:
        """Reset the smoother."""
        self._smoother.reset()
