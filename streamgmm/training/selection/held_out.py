"""How clips fared that a classifier had not seen: scored once, then weighed under any calibration."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from streamgmm.arrays import BoolArray, Float64Array, IndexArray, softmax
from streamgmm.decision.clip import KNOWN_SOFTNESS, Typical, knownness_of, sharpened
from streamgmm.model.cepstra import CepstralMixtures
from streamgmm.model.classifier import Classifier
from streamgmm.training.extraction.clip_vectors import ClipCepstra, ClipVectors

MIN_POSTERIOR = 1e-12
"""What a posterior counts for at least in a log loss: rounding must not make it infinite."""


class HeldOutClip(NamedTuple):
    """How the windows of one clip fared that the classifier had not seen.

    Attributes:
        label_index: of the clip.
        log_likelihoods: (n_windows, n_labels) in nats, of the windows alone.
        votes: (n_windows,) how much each counts.
        cepstral_evidence: (n_windows, n_labels) in nats, mean log-likelihood of its frames; None if not measured.
    """

    label_index: int
    log_likelihoods: Float64Array
    votes: Float64Array
    cepstral_evidence: Float64Array | None = None


def score_clip(clip: ClipVectors, classifier: Classifier) -> HeldOutClip:
    """The word of `classifier` on each window of a clip; its frames are not asked."""
    return HeldOutClip(
        label_index=classifier.labels.index(clip.clip.label),
        log_likelihoods=classifier.score_many(clip.vectors.astype(np.float64)).log_likelihoods,
        votes=clip.counted_votes,
    )


def score_cepstra(clip_cepstra: ClipCepstra, frames: CepstralMixtures, n_labels: int) -> Float64Array:
    """Mean log-likelihoods of the frames of each window, (n_windows, n_labels), as `CepstralEvidence` has them."""
    scores = frames.score(clip_cepstra.vectors.astype(np.float64))[:, :n_labels]
    sums = np.concatenate([np.zeros((1, scores.shape[1])), np.cumsum(scores, axis=0)])
    first, end = clip_cepstra.spans.T
    evidence: Float64Array = (sums[end] - sums[first]) / np.maximum(1, end - first)[:, np.newaxis]
    return evidence


class HeldOut:
    """All held-out clips, their windows end to end.

    Args:
        clips: at least one, each with at least one window.
    """

    def __init__(self, clips: Sequence[HeldOutClip]) -> None:
        self.label_indices = np.array([clip.label_index for clip in clips])
        self._n_windows = [len(clip.votes) for clip in clips]
        self._starts = np.cumsum([0, *self._n_windows[:-1]])
        self._log_likelihoods = np.concatenate([clip.log_likelihoods for clip in clips])
        votes = np.concatenate([clip.votes for clip in clips])
        self._votes = votes / np.repeat(np.add.reduceat(votes, self._starts), self._n_windows)
        evidence = [clip.cepstral_evidence for clip in clips if clip.cepstral_evidence is not None]
        self._cepstral_evidence = np.concatenate(evidence) if len(evidence) == len(clips) else None

    @property
    def has_cepstra(self) -> bool:
        """Whether the frames of all clips were measured."""
        return self._cepstral_evidence is not None

    @cached_property
    def window_label_indices(self) -> IndexArray:
        """The label of the clip of each window."""
        return np.repeat(self.label_indices, self._n_windows)

    def scores(self, cepstral_weight: float) -> Float64Array:
        """Log-likelihoods of all windows, (n_windows, n_labels), with those of frames added."""
        if self._cepstral_evidence is None or not cepstral_weight:
            return self._log_likelihoods
        combined: Float64Array = self._log_likelihoods + cepstral_weight * self._cepstral_evidence
        return combined

    def posteriors(self, scale: float, cepstral_weight: float = 0.0, sharpness: float = 1.0) -> Float64Array:
        """Posteriors of the clips, (n_clips, n_labels), as `ClipDecider` has them."""
        return sharpened(self._vote(self._window_posteriors(scale, cepstral_weight)), sharpness)

    def knownness(self, scale: float, cepstral_weight: float, is_label: BoolArray, typical: Typical) -> Float64Array:
        """How sure it is that each clip is of any label, (n_clips,), as `ClipDecider` has it."""
        soft = self.posteriors(KNOWN_SOFTNESS * scale, cepstral_weight)
        return knownness_of(soft, self.clip_scores(cepstral_weight), is_label, typical)

    def clip_scores(self, cepstral_weight: float) -> Float64Array:
        """Mean log-likelihoods of the clips, (n_clips, n_labels) in nats."""
        return self._vote(self.scores(cepstral_weight))

    def log_losses(self, scale: float, cepstral_weight: float = 0.0) -> Float64Array:
        """Mean log loss of the windows of each clip, (n_clips,) in nats: events are decided window by window."""
        posteriors = self._window_posteriors(scale, cepstral_weight)
        of_true_label = posteriors[np.arange(len(posteriors)), self.window_label_indices]
        return self._vote(-np.log(of_true_label[:, np.newaxis] + MIN_POSTERIOR))[:, 0]

    def clip_log_losses(self, scale: float, cepstral_weight: float, sharpness: float) -> Float64Array:
        """Log loss of the posterior of each clip, (n_clips,) in nats."""
        posteriors = self.posteriors(scale, cepstral_weight, sharpness)
        of_true_label = posteriors[np.arange(len(posteriors)), self.label_indices]
        losses: Float64Array = -np.log(of_true_label + MIN_POSTERIOR)
        return losses

    def _window_posteriors(self, scale: float, cepstral_weight: float) -> Float64Array:
        return softmax(scale * self.scores(cepstral_weight))

    def _vote(self, of_windows: Float64Array) -> Float64Array:
        """Weighted means over the windows of each clip of values (n_windows, m); (n_clips, m)."""
        means: Float64Array = np.add.reduceat(self._votes[:, np.newaxis] * of_windows, self._starts, axis=0)
        return means
