"""Honest scores for the posteriors: what was held out decides how sure the mixtures may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize, minimize_scalar

from streamgmm.config import FramesChoice, TrainingSection
from streamgmm.dataset.folds import NEVER_HELD_OUT, grouped_stratified_folds
from streamgmm.decision.clip import vote_weight
from streamgmm.errors import DataError
from streamgmm.model.classifier import Classifier
from streamgmm.training.extraction import ClipFrames, ClipVectors
from streamgmm.training.fitting import DEFAULT_LIKELIHOOD_SCALE, Fit, fit_classifier
from streamgmm.training.fitting_frames import DEFAULT_WEIGHT
from streamgmm.training.workers import Track, map_in_threads, untracked

Array = npt.NDArray[np.float64]

N_FOLDS = 5
SCALE_RANGE = (1e-3, 2.0)
WEIGHT_RANGE = (1e-3, 1e3)
DOMAIN_QUANTILE = 0.01
"""Share of a label's own held-out windows that may fall below its floor."""

MIN_STANDARD_ERRORS = 2.0
"""Frames have to lower the log loss by this many standard errors: of two models that fare alike, take the simpler
(Breiman, Friedman, Olshen and Stone, Classification and Regression Trees, 1984, section 3.4.3)."""

MIN_SHARE_GAINED = 0.1
"""And by this share of itself, since a stream with frames costs a third more."""


class HeldOutClip(NamedTuple):
    """How the windows of one clip fared that the classifier had not seen.

    Attributes:
        label_index: of the clip.
        log_likelihoods: (n_windows, n_labels) in nats, of the windows alone.
        votes: (n_windows,) how much each counts.
        frame_evidence: (n_windows, n_labels) in nats, mean log-likelihood of its frames; None if not measured.
    """

    label_index: int
    log_likelihoods: Array
    votes: Array
    frame_evidence: Array | None = None


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
        evidence = [clip.frame_evidence for clip in clips if clip.frame_evidence is not None]
        self._frame_evidence = np.concatenate(evidence) if len(evidence) == len(clips) else None

    @property
    def has_frames(self) -> bool:
        """Whether the frames of all clips were measured."""
        return self._frame_evidence is not None

    @cached_property
    def window_label_indices(self) -> npt.NDArray[np.intp]:
        """The label of the clip of each window."""
        return np.repeat(self.label_indices, self._n_windows)

    def scores(self, frame_weight: float) -> Array:
        """Log-likelihoods of all windows, (n_windows, n_labels), with those of frames added."""
        if self._frame_evidence is None or not frame_weight:
            return self._log_likelihoods
        combined: Array = self._log_likelihoods + frame_weight * self._frame_evidence
        return combined

    def posteriors(self, scale: float, frame_weight: float = 0.0) -> Array:
        """Posteriors of the clips, (n_clips, n_labels), as `ClipDecider` has them."""
        return self._vote(self._window_posteriors(scale, frame_weight))

    def log_losses(self, scale: float, frame_weight: float = 0.0) -> Array:
        """Mean log loss of the windows of each clip, (n_clips,) in nats: events are decided window by window."""
        posteriors = self._window_posteriors(scale, frame_weight)
        of_true_label = posteriors[np.arange(len(posteriors)), self.window_label_indices]
        return self._vote(-np.log(of_true_label[:, np.newaxis] + 1e-12))[:, 0]

    def _window_posteriors(self, scale: float, frame_weight: float) -> Array:
        logits = scale * self.scores(frame_weight)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        posteriors: Array = odds / odds.sum(axis=1, keepdims=True)
        return posteriors

    def _vote(self, of_windows: Array) -> Array:
        """Weighted means over the windows of each clip of values (n_windows, m); (n_clips, m)."""
        means: Array = np.add.reduceat(self._votes[:, np.newaxis] * of_windows, self._starts, axis=0)
        return means


class Validation(NamedTuple):
    """What held-out clips say.

    Attributes:
        likelihood_scale: factor on log-likelihoods with the least held-out log loss.
        floors: shape (n_labels,), log-likelihoods that all but a few windows of a label reach.
        recalls: share of each label's held-out clips that were recognised; empty without validation.
        accuracy: share of all held-out clips; None without validation.
        frame_weight: of frames beside windows; 0 if windows decide alone.
        notes: what was chosen and why, and why scores are missing or flatter.
    """

    likelihood_scale: float
    floors: Array
    recalls: dict[str, float]
    accuracy: float | None
    frame_weight: float = 0.0
    notes: tuple[str, ...] = ()


def validate(
    clips: Sequence[ClipVectors],
    labels: Sequence[str],
    training: TrainingSection,
    track: Track = untracked,
) -> Validation:
    """Hold out each source once, and learn from that how far the likelihoods can be trusted.

    Args:
        clips: all clips; no source is ever divided between training and test.
        labels: sorted names.
        training: how to fit, and whether mixtures of frames may take part.
        track: shows the folds.
    """
    frames = training.frames if all(clip.frames is not None for clip in clips) else "never"
    folds, note = _folds(clips, labels, training.seed)
    notes = (note,) if note else ()
    numbers = sorted(set(folds) - {NEVER_HELD_OUT})
    if not numbers:
        frame_weight = DEFAULT_WEIGHT if frames == "always" else 0.0
        return Validation(DEFAULT_LIKELIHOOD_SCALE, np.full(len(labels), -np.inf), {}, None, frame_weight, notes)

    def hold_out(number: int) -> list[HeldOutClip]:
        known = [clip for clip, fold in zip(clips, folds, strict=True) if fold != number]
        fit = fit_classifier(known, labels, training, has_frames=frames != "never")
        held_out = [clip for clip, fold in zip(clips, folds, strict=True) if fold == number]
        return [_score(clip, fit.classifier) for clip in held_out]

    tested: list[HeldOutClip] = []
    for scored in track(map_in_threads(hold_out, numbers), "validating", len(numbers)):
        tested += scored
    return _summarise(HeldOut(tested), labels, frames, notes)


def _score(clip: ClipVectors, classifier: Classifier) -> HeldOutClip:
    shares = np.ones(len(clip.vectors)) if clip.window_shares is None else clip.window_shares
    return HeldOutClip(
        label_index=classifier.labels.index(clip.clip.label),
        log_likelihoods=classifier.score_many(clip.vectors.astype(np.float64)).log_likelihoods,
        votes=vote_weight(shares),
        frame_evidence=_frame_evidence(clip.frames, classifier) if clip.frames and classifier.frames else None,
    )


def _frame_evidence(clip_frames: ClipFrames, classifier: Classifier) -> Array:
    """Mean log-likelihoods of the frames of each window, (n_windows, n_labels), as `FrameEvidence` has them."""
    assert classifier.frames is not None
    scores = classifier.frames.score(clip_frames.vectors.astype(np.float64))[:, : classifier.n_labels]
    sums = np.concatenate([np.zeros((1, scores.shape[1])), np.cumsum(scores, axis=0)])
    first, end = clip_frames.spans.T
    evidence: Array = (sums[end] - sums[first]) / np.maximum(1, end - first)[:, np.newaxis]
    return evidence


def calibrated(fit: Fit, validation: Validation) -> Classifier:
    """The classifier of `fit` with the scale, the floors and the weight of frames of `validation`."""
    frames = fit.classifier.frames
    return replace(
        fit.classifier,
        likelihood_scale=validation.likelihood_scale,
        floors=validation.floors,
        frames=replace(frames, weight=validation.frame_weight) if frames and validation.frame_weight else None,
    )


def _folds(clips: Sequence[ClipVectors], labels: Sequence[str], seed: int) -> tuple[list[int], str]:
    """Fold of each clip, no source in two of them, and what the user should know of the division."""
    names = [clip.clip.label for clip in clips]
    try:
        folds = grouped_stratified_folds(names, [clip.clip.source_id for clip in clips], N_FOLDS, seed)
        return folds.tolist(), ""
    except DataError as error:
        reason = str(error)
    try:
        folds = grouped_stratified_folds(names, [str(clip.clip.path) for clip in clips], N_FOLDS, seed)
        return folds.tolist(), f"held-out scores are by recording, not by source, and flatter: {reason}"
    except DataError:
        return [NEVER_HELD_OUT] * len(clips), f"no held-out scores: {reason}"


def _summarise(
    held_out: HeldOut, labels: Sequence[str], frames: FramesChoice = "never", notes: tuple[str, ...] = ()
) -> Validation:
    scale, frame_weight, choice = _choose(held_out, frames)
    answers = held_out.posteriors(scale, frame_weight).argmax(axis=1)
    is_right = answers == held_out.label_indices
    scores = held_out.scores(frame_weight)
    floors = np.full(len(labels), -np.inf)
    recalls: dict[str, float] = {}
    for i, label in enumerate(labels):
        is_own = held_out.label_indices == i
        if is_own.any():
            floors[i] = np.quantile(scores[held_out.window_label_indices == i, i], DOMAIN_QUANTILE)
            recalls[label] = float(is_right[is_own].mean())
    return Validation(scale, floors, recalls, float(is_right.mean()), frame_weight, (*notes, *choice))


def _choose(held_out: HeldOut, frames: FramesChoice) -> tuple[float, float, tuple[str, ...]]:
    """The likelihood scale, the weight of frames, and why it is so."""
    scale = _best_scale(held_out)
    if not held_out.has_frames:
        return scale, 0.0, () if frames == "never" else ("frames do not take part: a class has too few of them",)
    scale_beside, frame_weight = _best_weights(held_out, scale)
    alone, beside = held_out.log_losses(scale), held_out.log_losses(scale_beside, frame_weight)
    gains = alone - beside
    standard_error = gains.std() / np.sqrt(len(gains))
    is_better = bool(gains.mean() > max(MIN_STANDARD_ERRORS * standard_error, MIN_SHARE_GAINED * alone.mean()))
    note = (
        f"frames {'take part' if is_better or frames == 'always' else 'do not take part'}: held-out log loss "
        f"{beside.mean():.3f} with them, {alone.mean():.3f} without (difference {gains.mean():.3f}, "
        f"standard error {standard_error:.3f})"
    )
    if is_better or frames == "always":
        return scale_beside, frame_weight, (note,)
    return scale, 0.0, (note,)


def _best_scale(held_out: HeldOut) -> float:
    """The factor with the least log loss (temperature scaling: Guo et al., ICML, 2017), clips weighing alike."""

    def log_loss(log_scale: float) -> float:
        return float(held_out.log_losses(float(np.exp(log_scale))).mean())

    best = minimize_scalar(log_loss, bounds=np.log(SCALE_RANGE), method="bounded", options={"xatol": 1e-3})
    return float(np.exp(best.x))


def _best_weights(held_out: HeldOut, scale: float) -> tuple[float, float]:
    """Likelihood scale and weight of frames that have the least log loss together (Nelder and Mead, 1965)."""

    def log_loss(logs: Array) -> float:
        scale, frame_scale = np.exp(logs)
        return float(held_out.log_losses(float(scale), float(frame_scale / scale)).mean())

    bounds = [np.log(SCALE_RANGE), np.log(WEIGHT_RANGE)]
    start = np.array([np.log(scale), 0.0])
    best = minimize(log_loss, start, method="Nelder-Mead", bounds=bounds, options={"xatol": 1e-2, "fatol": 1e-5})
    scale, frame_scale = np.exp(best.x)
    return float(scale), float(frame_scale / scale)
