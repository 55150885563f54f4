"""Hear held-out copies of clips as a run would, through its gates and smoothing."""

from __future__ import annotations

from math import ceil

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from streamgmm.arrays import Float64Array
from streamgmm.decision.bayes import BayesRule
from streamgmm.decision.hop_scores import HopScores
from streamgmm.decision.judge import Judge
from streamgmm.features.spec import FeatureSpec
from streamgmm.model.classifier import Classifier
from streamgmm.settings.decision import DecisionSection
from streamgmm.training.selection.held_out import HeldOutClip


class Listener:
    """Hears held-out copies as a run would.

    Args:
        classifier: calibrated.
        section: settings of the decisions.
        spec: features of the model.
    """

    def __init__(self, classifier: Classifier, section: DecisionSection, spec: FeatureSpec) -> None:
        self._classifier = classifier
        self._section = section
        hop_s = spec.hop_samples / spec.sample_rate_hz
        self._n_hops = max(1, ceil(section.min_duration_s / hop_s - 1e-9))
        self._hop_samples = spec.hop_samples
        rule = BayesRule(classifier.labels, classifier.competing_log_priors, classifier.likelihood_scale)
        self._judge = Judge(rule, section, hop_s)

    def peaks(self, clip: HeldOutClip) -> Float64Array:
        """Return the highest threshold of each label at which the copy makes an event; 0 for none.

        Returns:
            float64, shape (n_labels,).
        """
        self._judge.reset()
        hops = self._hops(clip)
        if len(hops) < self._n_hops:
            return np.zeros(self._classifier.n_labels)
        scores = np.array([own.scores for own in self._judge.update_stack([self._judge] * len(hops), hops)])
        # An event starts at a score and lasts: from there on no score may be below the offset threshold, which is at
        # most the onset threshold.
        lowest = sliding_window_view(scores, self._n_hops, axis=0).min(axis=-1)
        starts = scores[: len(lowest)]
        peaks = np.where(lowest >= self._section.offset_threshold, starts, lowest)
        return np.asarray(peaks.max(axis=0))

    def _hops(self, clip: HeldOutClip) -> list[HopScores]:
        scores, n_labels = clip.log_likelihoods, self._classifier.n_labels
        if self._classifier.cepstra is not None and clip.cepstral_evidence is not None:
            scores = scores + self._classifier.cepstra.weight * clip.cepstral_evidence
        levels_dbfs = np.zeros(len(scores))
        if clip.context is not None:
            levels_dbfs = clip.context.levels_dbfs
            # A hop without a vector is rejected as not finite.
            scores = np.where(clip.context.is_measured[:, np.newaxis], scores, np.nan)
        background = self._classifier.background_index
        return [
            HopScores(
                end_sample=(i + 1) * self._hop_samples,
                level_dbfs=float(level_dbfs),
                log_likelihoods=row[:n_labels],
                llrs=row[:n_labels] - row[background],
                is_in_domain=row[:n_labels] >= self._classifier.floors,
                levels_db=np.zeros(0),
                background_log_likelihood=float(row[background]),
            )
            for i, (row, level_dbfs) in enumerate(zip(scores, levels_dbfs, strict=True))
        ]
