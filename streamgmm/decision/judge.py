"""Gates and smoothing: from the scores of a hop to the scores that the automata get."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streamgmm.arrays import Float64Array
from streamgmm.decision.bayes import BayesRule
from streamgmm.decision.hop_scores import HopScores
from streamgmm.decision.rejection import Verdict, decide, event_scores, screen_stack
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
        bayes: posteriors of the model's labels; a reserved label may win, but has no score.
        section: settings of the decisions.
        hop_s: distance between windows.

    Attributes:
        labels: names of the labels that get a score.
        n_scored: number of labels of the model, which come first.
        silence_gate_dbfs: level below which a hop is silent (dB re full scale).
    """

    def __init__(self, bayes: BayesRule, section: DecisionSection, hop_s: float) -> None:
        self.labels = bayes.labels
        self.n_scored = len(bayes.labels)
        self.silence_gate_dbfs = section.silence_gate_dbfs
        self._bayes = bayes
        self._min_llr = section.min_llr
        self._is_reserved = np.array([is_reserved(label) for label in bayes.labels])
        # One array for all rejected hops, which therefore must not be changed.
        self._nothing = np.zeros(self.n_scored)
        self._smoother = make_smoother(section, hop_s, len(bayes.log_priors))

    def update(self, hop: HopScores) -> Judgement:
        """Process one hop, with log-likelihoods of shape (n_labels,)."""
        return self.update_stack([self], [hop])[0]

    def update_stack(self, judges: Sequence[Judge], hops: Sequence[HopScores]) -> list[Judgement]:
        """Process a hop of each of several streams, each to the last bit as `update` does by itself.

        Args:
            judges: judges with the model and settings of this one, which is among them.
            hops: a hop of each.
        """
        verdicts = screen_stack(hops, self.silence_gate_dbfs)
        for judge, verdict in zip(judges, verdicts, strict=True):
            if verdict and verdict.reject == "silence":
                judge._smoother.reset()
        each = zip(judges, hops, verdicts, strict=True)
        passed = [(judge, hop) for judge, hop, verdict in each if verdict is None]
        decided = iter(self._decide([judge for judge, _ in passed], [hop for _, hop in passed]) if passed else ())
        return [Judgement(verdict, self._nothing, self._nothing) if verdict else next(decided) for verdict in verdicts]

    def _decide(self, judges: Sequence[Judge], hops: Sequence[HopScores]) -> list[Judgement]:
        """Return the judgements of hops that passed `screen`."""
        smoothers = [judge._smoother for judge in judges]
        smoothed = smoothers[0].update_stack(smoothers, self._bayes.logits_stack(hops))
        # Without the share of a background that competes: it has no name in the records.
        posteriors = smoothed[:, : self.n_scored]
        scores = event_scores(posteriors, hops, self._min_llr, self._is_reserved)
        verdicts = [decide(self._bayes.labels, *each, self._min_llr) for each in zip(posteriors, hops, strict=True)]
        return [Judgement(*each) for each in zip(verdicts, posteriors, scores, strict=True)]

    def reset(self) -> None:
        """Reset the smoother."""
        self._smoother.reset()
