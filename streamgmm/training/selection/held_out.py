"""Held-out clips: scored once by a classifier that was not fitted to them, then evaluated under any calibration."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from streamgmm.arrays import BoolArray, Float64Array, IndexArray, softmax
from streamgmm.decision.clip import IN_DOMAIN_SOFTNESS, TypicalLikelihoods, in_domain_scores, sharpened
from streamgmm.labels import BACKGROUND
from streamgmm.model.cepstra import CepstralMixtures
from streamgmm.model.classifier import Classifier
from streamgmm.training.extraction.ambiences import Ambience
from streamgmm.training.extraction.clip_vectors import ClipCepstra, ClipVectors, ContextCopy
from streamgmm.training.extraction.context import FILLED_COVER

LOG_LOSS_OFFSET = 1e-12
"""Added to posteriors in a log loss, which underflow would make infinite."""


class HeldOutContext(NamedTuple):
    """What is needed of a copy in context after it was scored.

    Attributes:
        is_measured: bool, shape (n_windows,), which hops have a vector.
        levels_dbfs: float64, shape (n_windows,), levels of the hops (dB re full scale).
        snr_db: level of the sound above that of the rest (dB).
    """

    is_measured: BoolArray
    levels_dbfs: Float64Array
    snr_db: float


class HeldOutClip(NamedTuple):
    """Scores of one clip, or of a copy of it in context, by a classifier that was not fitted to it.

    Attributes:
        label_index: true label of the clip among the labels that were fitted (see `fitted_labels`).
        log_likelihoods: (n_windows, n_competitors) in nats, of the windows alone.
        votes: (n_windows,) weight of each window; 0 for those of a context that the sound does not fill.
        cepstral_evidence: (n_windows, n_competitors) in nats, mean log-likelihood of its cepstral frames; None if not
            measured.
        context: of the copy that was scored, all its hops; None for the clip as recorded.
        is_world: whether it is a sound of the world.
        content_sha256: hash of the recording.
        onset_s: where the clip begins in the recording (s); None for the whole of it.
    """

    label_index: int
    log_likelihoods: Float64Array
    votes: Float64Array
    cepstral_evidence: Float64Array | None = None
    context: HeldOutContext | None = None
    is_world: bool = False
    content_sha256: str = ""
    onset_s: float | None = None

    @property
    def recorded(self) -> tuple[str, float | None]:
        """What the copies of a clip have in common with it."""
        return self.content_sha256, self.onset_s


def heard_copies(clip: ClipVectors) -> list[ContextCopy | None]:
    """Return what is scored of a held-out clip: itself (None) unless it is of the world, and its copies in context.

    A copy whose sound fills no window is left out.
    """
    copies = [context for context in clip.contexts if _filled_votes(context).any()]
    return [*copies] if clip.is_world else [None, *copies]


def score_clip(clip: ClipVectors, classifier: Classifier, label_index: int) -> list[HeldOutClip]:
    """Score each window of a clip and of its copies with `classifier`, without their cepstral frames."""
    scored = []
    for context in heard_copies(clip):
        vectors = clip.vectors if context is None else np.nan_to_num(context.vectors)
        scored.append(
            HeldOutClip(
                label_index=label_index,
                log_likelihoods=classifier.score_many(vectors.astype(np.float64)),
                votes=clip.counted_votes if context is None else _filled_votes(context),
                context=context and HeldOutContext(_is_measured(context), context.levels_dbfs, context.snr_db),
                is_world=clip.is_world,
                content_sha256=clip.clip.content_sha256,
                onset_s=clip.clip.onset_s,
            )
        )
    return scored


def _filled_votes(context: ContextCopy) -> Float64Array:
    # Hops without a vector have no vote either.
    is_filled = (context.covers >= FILLED_COVER) & _is_measured(context)
    return is_filled.astype(np.float64)


def _is_measured(context: ContextCopy) -> BoolArray:
    return np.asarray(np.isfinite(context.vectors).all(axis=1))


def score_cepstra(clip_cepstra: ClipCepstra, frames: CepstralMixtures, n_mixtures: int) -> Float64Array:
    """Return mean log-likelihoods of the frames of each window, (n_windows, n_mixtures), as `CepstralEvidence` does."""
    # Differences of cumulative sums: windows overlap, and each frame is scored and added once.
    scores = frames.score(clip_cepstra.vectors.astype(np.float64))[:, :n_mixtures]
    # In double precision, as differences of long sums lose digits.
    sums = np.concatenate([np.zeros((1, scores.shape[1])), np.cumsum(scores, axis=0)])
    first, end = clip_cepstra.spans.T
    # A window may contain no frame at all, and then has no evidence.
    evidence: Float64Array = (sums[end] - sums[first]) / np.maximum(1, end - first)[:, np.newaxis]
    return evidence


class HeardAmbience(NamedTuple):
    """The scores of an ambience, and the labels that name what it is made of."""

    clip: HeldOutClip
    named_by: frozenset[str]


def hear_ambiences(ambiences: Sequence[Ambience], classifier: Classifier) -> list[HeardAmbience]:
    """Score ambiences, to which `classifier` was not fitted, with their cepstral frames."""
    background, frames = classifier.background_index, classifier.cepstra
    heard = []
    for clip, named_by in ambiences:
        (one,), (context,) = score_clip(clip, classifier, background), clip.contexts
        if frames and context.cepstra:
            evidence = score_cepstra(context.cepstra, frames, one.log_likelihoods.shape[1])
            one = one._replace(cepstral_evidence=evidence)
        heard.append(HeardAmbience(one, named_by))
        if clip.pages is not None:
            clip.pages.release()
    return heard


class HeldOutClips:
    """Scores of all held-out clips; the windows of all clips are concatenated.

    Args:
        clips: at least one, each with at least one window that votes.
        n_labels: number of labels of the user; scores of a background that competes follow them.
    """

    def __init__(self, clips: Sequence[HeldOutClip], n_labels: int) -> None:
        self.clips = clips
        self.n_labels = n_labels
        self.label_indices = np.array([clip.label_index for clip in clips])
        self._n_windows = [len(clip.votes) for clip in clips]
        # `reduceat` returns a value of the next clip for one without windows, hence at least one window each.
        self._starts = np.cumsum([0, *self._n_windows[:-1]])
        self._log_likelihoods = np.concatenate([clip.log_likelihoods for clip in clips])
        votes = np.concatenate([clip.votes for clip in clips])
        self.is_counted = votes > 0.0
        # Normalised per clip once, so that every weighted mean is a single `reduceat`.
        self._votes = votes / np.repeat(np.add.reduceat(votes, self._starts), self._n_windows)
        evidence = [clip.cepstral_evidence for clip in clips if clip.cepstral_evidence is not None]
        # All or none: one array covers the windows of all clips.
        self._cepstral_evidence = np.concatenate(evidence) if len(evidence) == len(clips) else None
        self._weights = self._clip_weights()

    def _clip_weights(self) -> Float64Array:
        """Return weights of the clips, 1 in the mean.

        A clip as recorded weighs as much as all its copies in context, which are heard more often but never alone; and
        all sounds of the world as much as one of the labels.
        """
        is_world = np.array([clip.is_world for clip in self.clips])
        is_copy = np.array([clip.context is not None for clip in self.clips]) & ~is_world
        is_clean = ~is_world & ~is_copy
        weights = np.ones(len(is_world))
        if is_copy.any() and is_clean.any():
            weights[is_copy] = is_clean.sum() / is_copy.sum()
        if is_world.any() and not is_world.all():
            weights[is_world] = weights[~is_world].sum() / self.n_labels / is_world.sum()
        normalised: Float64Array = weights / weights.mean()
        return normalised

    @cached_property
    def clean(self) -> HeldOutClips:
        """The clips as recorded, without those of the world."""
        own = [clip for clip in self.clips if clip.context is None]
        return HeldOutClips(own, self.n_labels) if len(own) < len(self.clips) else self

    @cached_property
    def in_context(self) -> HeldOutClips:
        """The copies in context and the sounds of the world; all clips where no label has a copy."""
        copies = [clip for clip in self.clips if clip.context is not None]
        has_own = any(not clip.is_world for clip in copies)
        return HeldOutClips(copies, self.n_labels) if has_own else self

    @property
    def has_cepstra(self) -> bool:
        """Whether the cepstral frames of all clips were scored."""
        return self._cepstral_evidence is not None

    @cached_property
    def window_label_indices(self) -> IndexArray:
        """Index of the true label of each window, (n_windows,)."""
        return np.repeat(self.label_indices, self._n_windows)

    def scores(self, cepstral_weight: float) -> Float64Array:
        """Return log-likelihoods of all windows, (n_windows, n_competitors), with the weighted cepstral evidence."""
        if self._cepstral_evidence is None or not cepstral_weight:
            return self._log_likelihoods
        combined: Float64Array = self._log_likelihoods + cepstral_weight * self._cepstral_evidence
        return combined

    def posteriors(self, scale: float, cepstral_weight: float = 0.0, sharpness: float = 1.0) -> Float64Array:
        """Return posteriors of the clips, (n_clips, n_labels), as `ClipDecider` does."""
        scores = scale * self.scores(cepstral_weight)[:, : self.n_labels]
        return sharpened(self._vote(softmax(scores)), sharpness)

    def background_index(self, labels: Sequence[str]) -> int | None:
        """Return the column of the background in `scores`; None if it knows no sounds of the world."""
        if not any(clip.is_world for clip in self.clips):
            return None
        return labels.index(BACKGROUND) if BACKGROUND in labels else self.n_labels

    def in_domain_scores(
        self,
        scale: float,
        cepstral_weight: float,
        is_label: BoolArray,
        typical: TypicalLikelihoods,
        background: int | None = None,
    ) -> Float64Array:
        """Return in-domain scores of the clips, (n_clips,), as `ClipDecider` does; see `clip_scores`."""
        # Softer posteriors than those of the answer: sharp ones are near 1 even for sounds unlike any class.
        soft = self._vote(self._window_posteriors(IN_DOMAIN_SOFTNESS * scale, cepstral_weight)[:, : self.n_labels])
        return in_domain_scores(soft, self.clip_scores(cepstral_weight, background), is_label, typical)

    def clip_scores(self, cepstral_weight: float, background: int | None = None) -> Float64Array:
        """Return mean log-likelihoods of the clips, (n_clips, n_labels) in nats; ratios to a column, if it is given."""
        scores = self.scores(cepstral_weight)
        own = scores[:, : self.n_labels]
        return self._vote(own if background is None else own - scores[:, background, np.newaxis])

    def log_losses(self, scale: float, cepstral_weight: float = 0.0) -> Float64Array:
        """Return weighted mean log losses of the windows of clips, (n_clips,) in nats: events are decided by windows.

        The weights are 1 in the mean, so that the mean of the losses is a weighted one.
        """
        posteriors = self._window_posteriors(scale, cepstral_weight)
        of_true_label = posteriors[np.arange(len(posteriors)), self.window_label_indices]
        return self._weights * self._vote(-np.log(of_true_label[:, np.newaxis] + LOG_LOSS_OFFSET))[:, 0]

    def pooled(self, losses: Float64Array) -> Float64Array:
        """Return a loss for each recorded clip, (n_recorded,), from those of it and of its copies, (n_clips,).

        The mean stays the same.
        A clip that is hard is as hard in its copies: counted apart, they would make every difference look sure.
        """
        # Copies follow the clip as recorded, where that is heard.
        is_first = [one.context is None or one.recorded != before.recorded for before, one in pairwise(self.clips)]
        starts = np.flatnonzero([True, *is_first])
        sums: Float64Array = np.add.reduceat(losses, starts)
        return sums * (len(starts) / len(losses))

    def clip_log_losses(self, scale: float, cepstral_weight: float, sharpness: float) -> Float64Array:
        """Return the log loss of the posterior of each clip, (n_clips,) in nats; of labels of the user."""
        posteriors = self.posteriors(scale, cepstral_weight, sharpness)
        of_true_label = posteriors[np.arange(len(posteriors)), self.label_indices]
        losses: Float64Array = -np.log(of_true_label + LOG_LOSS_OFFSET)
        return losses

    def answer_log_losses(self, scale: float, cepstral_weight: float) -> Float64Array:
        """Return the mean of the log losses of each clip and of its windows, (n_clips,) in nats.

        The loss of clips alone would let the scale grow without bound where all are right.
        """
        of_windows = self.log_losses(scale, cepstral_weight)
        return 0.5 * (self.clip_log_losses(scale, cepstral_weight, 1.0) + of_windows)

    def _window_posteriors(self, scale: float, cepstral_weight: float) -> Float64Array:
        return softmax(scale * self.scores(cepstral_weight))

    def _vote(self, of_windows: Float64Array) -> Float64Array:
        """Return weighted means of values (n_windows, m) over the windows of each clip, (n_clips, m)."""
        means: Float64Array = np.add.reduceat(self._votes[:, np.newaxis] * of_windows, self._starts, axis=0)
        return means
