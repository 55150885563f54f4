"""Gates and smoothing: from the scores of a hop to the scores that the automata get."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streamgmm.arrays import Float64Array, stacked
from streamgmm.decision.bayes import BayesRule
from streamgmm.decision.hop_scores import HopScores
from streamgmm.decision.rejection import SILENT, Verdict, decide, event_scores, screen
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
        self._has_events = np.array([not is_reserved(label) for label in bayes.labels])
        # One array for all rejected hops, which therefore must not be changed.
        self._nothing = np.zeros(self.n_scored)
        self._smoother = make_smoother(section, hop_s, len(bayes.log_priors))
        self._state = self._smoother.start

    def update(self, hop: HopScores) -> Judgement:
        """Process one hop, with log-likelihoods of shape (n_labels,)."""
        return self.update_stack([self], [hop])[0]

    def update_stack(self, judges: Sequence[Judge], hops: Sequence[HopScores]) -> list[Judgement]:
        """Process hops of one or several streams, each to the last bit as `update` does by itself.

        Args:
            judges: the judge of each hop, with the model and settings of this one; the hops of one follow each other.
            hops: one or more.
        """
        llrs = stacked([hop.llrs for hop in hops])
        logits = self._bayes.logits_stack(hops)
        # Ratios are finite only where the log-likelihoods are, and that of the background.
        are_finite = np.logical_and.reduce(np.isfinite(llrs), axis=1).tolist()
        gate_dbfs = self.silence_gate_dbfs
        each = zip(hops, are_finite, strict=True)
        screened = [screen(hop.level_dbfs, gate_dbfs, is_finite=is_finite) for hop, is_finite in each]
        if any(screened):
            passed = [i for i, verdict in enumerate(screened) if verdict is None]
            hops, llrs, logits = [hops[i] for i in passed], llrs[passed], logits[passed]
        states = self._states(judges, screened, self._smoother.prepare(logits))
        decided = self._decided(hops, llrs, states) if states else []
        if len(decided) == len(screened):
            return decided
        rest = iter(decided)
        return [Judgement(own, self._nothing, self._nothing) if own else next(rest) for own in screened]

    def _states(
        self, judges: Sequence[Judge], screened: Sequence[Verdict | None], prepared: Float64Array
    ) -> list[Float64Array]:
        """Return the state of each stream after each hop that passed the first gates."""
        rows, states = iter(prepared), []
        for judge, verdict in zip(judges, screened, strict=True):
            if verdict is None:
                judge._state = self._smoother.advance(judge._state, next(rows))
                states.append(judge._state)
            elif verdict is SILENT:
                judge._state = self._smoother.start
        return states

    def _decided(
        self, hops: Sequence[HopScores], llrs: Float64Array, states: Sequence[Float64Array]
    ) -> list[Judgement]:
        """Return the judgements of hops that passed the first gates, from the states after them."""
        # Without the share of a background that competes: it has no name in the records.
        posteriors = self._smoother.posteriors(stacked(states))[:, : self.n_scored]
        are_in_domain = stacked([hop.is_in_domain for hop in hops])
        scores = event_scores(posteriors, llrs, are_in_domain, self._min_llr, self._has_events)
        labels, min_llr, judgements = self._bayes.labels, self._min_llr, []
        each = zip(hops, posteriors.argmax(axis=1).tolist(), posteriors, scores, strict=True)
        for hop, best, own, own_scores in each:
            llr, is_in_domain = float(hop.llrs[best]), bool(hop.is_in_domain[best])
            verdict = decide(labels[best], float(own[best]), llr, min_llr, is_in_domain=is_in_domain)
            judgements.append(Judgement(verdict, own, own_scores))
        return judgements

    def reset(self) -> None:
        """Reset the smoother."""
        self._state = self._smoother.start
