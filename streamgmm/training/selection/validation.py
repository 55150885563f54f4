"""Cross-validation: hold out each source once, to choose settings, fit the calibration and estimate the accuracy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from itertools import compress
from typing import NamedTuple

import msgspec
import numpy as np

from streamgmm.arrays import Float64Array
from streamgmm.dataset.folds import NEVER_HELD_OUT, grouped_stratified_folds
from streamgmm.errors import DataError
from streamgmm.settings.training import TrainingSection
from streamgmm.training.extraction.clip_vectors import ClipVectors
from streamgmm.training.fitting.cepstra import DEFAULT_WEIGHT, fit_cepstra
from streamgmm.training.fitting.fitting import (
    DEFAULT_LIKELIHOOD_SCALE,
    fit_classifier,
    fitted_labels,
    make_training_set,
)
from streamgmm.training.fitting.projection import Moments, measure_moments
from streamgmm.training.selection.calibration import Calibration, calibrate
from streamgmm.training.selection.held_out import HeldOutClip, HeldOutClips, heard_copies, score_cepstra, score_clip
from streamgmm.training.selection.search import SettingsChoice, choose_settings
from streamgmm.training.workers import Executor, ProgressTracker, ThreadExecutor, run_job, untracked

N_VALIDATION_FOLDS = 5

WORLD_STEP = 3
"""One in so many sounds of the world is heard in the search for settings."""


class Validation(NamedTuple):
    """The results of cross-validation.

    Attributes:
        training: the settings to fit with; those found by the search, with `search` off.
        calibration: of the classifier.
        recalls: share of each label's held-out clips that were recognised; empty without validation.
        accuracy: share of all held-out clips that were recognised; None without validation.
        notes: the choices made and their reasons, and why scores are missing or too good.
        log_losses: of the held-out clips, shape (n_clips,), nat, in an order that depends on clips and seed alone;
            None without validation.
        held_out: scores of the held-out clips, of their copies in context and of the sounds of the world.
    """

    training: TrainingSection
    calibration: Calibration
    recalls: dict[str, float]
    accuracy: float | None
    notes: tuple[str, ...] = ()
    log_losses: Float64Array | None = None
    held_out: HeldOutClips | None = None


def validate(
    clips: Sequence[ClipVectors],
    labels: Sequence[str],
    training: TrainingSection,
    track: ProgressTracker = untracked,
) -> Validation:
    """Hold out each source once, and choose settings and calibration by the scores of the held-out clips.

    Args:
        clips: all clips; no source is ever divided between training and test.
        labels: sorted names.
        training: how to fit, whether to search for better settings, whether cepstral frames may take part.
        track: shows the progress of the folds.
    """
    frames = training.cepstra if all(clip.cepstra is not None for clip in clips) else "never"
    folds, note = _folds(clips, labels, training.seed)
    notes: tuple[str, ...] = (note,) if note else ()
    # Without held-out clips there is nothing to search or calibrate by: defaults, and floors that reject nothing.
    if set(folds) == {NEVER_HELD_OUT}:
        cepstral_weight = DEFAULT_WEIGHT if frames == "always" else 0.0
        calibration = Calibration(DEFAULT_LIKELIHOOD_SCALE, np.full(len(labels), -np.inf), cepstral_weight)
        return Validation(msgspec.structs.replace(training, search=False), calibration, {}, None, notes)
    if training.search and len(labels) > 1:
        training, choice = _search(clips, labels, folds, training, frames, track)
        notes += choice
    trials = _Trials(clips, labels, folds, track, ThreadExecutor())
    (tested,) = trials.hold_out([training], "validating", has_cepstra=frames != "never")
    held_out = HeldOutClips(tested, len(labels))
    # A search belongs to one data set: whoever fits again with these settings must not repeat it.
    training = msgspec.structs.replace(training, search=False)
    calibration, decision = calibrate(held_out, labels, frames)
    recalls, accuracy = count_right(held_out.clean, labels, calibration)
    losses = held_out.clean.clip_log_losses(*calibration.clip_weights, calibration.clips.sharpness)
    return Validation(training, calibration, recalls, accuracy, notes + decision, losses, held_out)


def _search(
    clips: Sequence[ClipVectors],
    labels: Sequence[str],
    folds: Sequence[int],
    training: TrainingSection,
    frames: str,
    track: ProgressTracker,
) -> SettingsChoice:
    """Choose settings by held-out clips beside a part of the world, whose fits would take most of the time."""
    is_heard = [not clip.is_world for clip in clips]
    for i in [i for i, clip in enumerate(clips) if clip.is_world][::WORLD_STEP]:
        is_heard[i] = True
    # One object for all settings: folds and moments are shared.
    trials = _Trials(list(compress(clips, is_heard)), labels, list(compress(folds, is_heard)), track, ThreadExecutor())
    (tested,) = trials.hold_out([training], "searching", has_cepstra=frames != "never")

    def hold_out(settings: Sequence[TrainingSection]) -> list[HeldOutClips]:
        results = trials.hold_out(settings, "searching")
        # No variation changes the fit of the cepstral frames, so their evidence is computed once.
        evidence = [clip.cepstral_evidence for clip in tested]
        return [HeldOutClips(_with_cepstra(result, evidence), len(labels)) for result in results]

    return choose_settings(training, HeldOutClips(tested, len(labels)), hold_out)


class _Fold(NamedTuple):
    """The clips to fit on, and those held out."""

    training: list[ClipVectors]
    held_out: list[ClipVectors]


class _ScoredFold(NamedTuple):
    """The held-out clips of one fold scored by their windows, or the cepstral evidence of each."""

    clips: list[HeldOutClip]
    evidence: list[Float64Array | None]


class _Trials:
    """Fits to all folds but one in turn, and scores of the clips left out.

    Args:
        clips: all clips.
        labels: sorted names.
        folds: of each clip; those of `NEVER_HELD_OUT` are always fitted to.
        track: shows the progress.
        executor: runs the fits.
    """

    def __init__(
        self,
        clips: Sequence[ClipVectors],
        labels: Sequence[str],
        folds: Sequence[int],
        track: ProgressTracker,
        executor: Executor,
    ) -> None:
        self._labels = labels
        self._track = track
        self._executor = executor
        pairs = list(zip(clips, folds, strict=True))
        self._folds = [
            _Fold([clip for clip, fold in pairs if fold != number], [clip for clip, fold in pairs if fold == number])
            # Only folds that are held out; clips of `NEVER_HELD_OUT` are in the training part of each.
            for number in sorted(set(folds) - {NEVER_HELD_OUT})
        ]
        self._moments: dict[tuple[bool, int], list[Moments]] = {}

    def hold_out(
        self, settings: Sequence[TrainingSection], description: str, *, has_cepstra: bool = False
    ) -> list[list[HeldOutClip]]:
        """Return the scored clips of all folds for each of the settings, in the same order.

        Args:
            settings: how to fit windows.
            description: of the work.
            has_cepstra: whether to score cepstral frames too, fitted by the first of the settings.
        """
        n = len(self._folds)
        frames: list[Callable[[], _ScoredFold]] = [
            partial(score_fold_cepstra, fold, self._labels, settings[0]) for fold in self._folds if has_cepstra
        ]
        windows: list[Callable[[], _ScoredFold]] = [
            partial(score_fold_windows, fold, self._labels, training, moments)
            for training in settings
            for fold, moments in zip(self._folds, self._moments_for(training), strict=True)
        ]
        jobs = [*frames, *windows]
        scored = list(self._track(self._executor.map(run_job, jobs), description, len(jobs)))
        evidence = [one for fold in scored[: len(frames)] for one in fold.evidence]
        held_out = [fold.clips for fold in scored[len(frames) :]]
        # Results are in the order of the jobs: all folds of the first settings, then all of the next.
        trials = [[clip for fold in held_out[i * n : (i + 1) * n] for clip in fold] for i in range(len(settings))]
        return [_with_cepstra(clips, evidence) for clips in trials] if has_cepstra else trials

    def _moments_for(self, training: TrainingSection) -> list[Moments]:
        """Return the moments of each fold: the costliest part of a fit, which most variations share."""
        # The settings that decide which windows are fitted to; all others act after the moments.
        key = (training.copies, training.seed)
        if key not in self._moments:
            jobs = [partial(fold_moments, fold, self._labels, training) for fold in self._folds]
            self._moments[key] = list(self._executor.map(run_job, jobs))
        return self._moments[key]


def score_fold_windows(fold: _Fold, labels: Sequence[str], training: TrainingSection, moments: Moments) -> _ScoredFold:
    """Fit a classifier to one side of a fold, and score the windows of the other."""
    fit = fit_classifier(fold.training, labels, training, moments=moments)
    fitted = fitted_labels(fold.training, labels)
    scored = [score_clip(clip, fit.classifier, fitted.index(clip.clip.label)) for clip in fold.held_out]
    return _ScoredFold([one for own in scored for one in own], [])


def score_fold_cepstra(fold: _Fold, labels: Sequence[str], training: TrainingSection) -> _ScoredFold:
    """Fit mixtures to the cepstral frames of one side of a fold, and score those of the other."""
    # None where the frames of this fold cannot be fitted; that of the other folds is then ignored (see `HeldOutClips`).
    mixtures = fit_cepstra(fold.training, labels, training)
    n_mixtures = len(fitted_labels(fold.training, labels))
    frames = [
        clip.cepstra if context is None else context.cepstra for clip in fold.held_out for context in heard_copies(clip)
    ]
    evidence = [score_cepstra(own, mixtures, n_mixtures) if mixtures and own else None for own in frames]
    return _ScoredFold([], evidence)


def fold_moments(fold: _Fold, labels: Sequence[str], training: TrainingSection) -> Moments:
    """Measure the moments of the windows that a fold is fitted to."""
    training_set = make_training_set(fold.training, labels, training)
    return measure_moments(training_set.vectors, training_set.class_indices)


def _with_cepstra(clips: Sequence[HeldOutClip], evidence: Sequence[Float64Array | None]) -> list[HeldOutClip]:
    return [clip._replace(cepstral_evidence=own) for clip, own in zip(clips, evidence, strict=True)]


def count_right(
    held_out: HeldOutClips, labels: Sequence[str], calibration: Calibration
) -> tuple[dict[str, float], float]:
    """Return the share of recognised clips for each label, and for all."""
    # Without the sharpness: a power does not change which label is best.
    answers = held_out.posteriors(*calibration.clip_weights).argmax(axis=1)
    is_right = answers == held_out.label_indices
    recalls = {
        labels[i]: float(is_right[held_out.label_indices == i].mean()) for i in np.unique(held_out.label_indices)
    }
    return recalls, float(is_right.mean())


def _folds(clips: Sequence[ClipVectors], labels: Sequence[str], seed: int) -> tuple[list[int], str]:
    """Return the fold of each clip, with no source in two folds, and a note on the division; empty for none."""
    names = [clip.clip.label for clip in clips]
    try:
        folds = grouped_stratified_folds(names, [clip.clip.source_id for clip in clips], N_VALIDATION_FOLDS, seed)
        return folds.tolist(), ""
    except DataError as error:
        # Kept, because Python deletes `error` at the end of the clause.
        reason = str(error)
    # Too few sources: scores by recording are too good, but still better than none to calibrate by.
    try:
        folds = grouped_stratified_folds(names, [str(clip.clip.path) for clip in clips], N_VALIDATION_FOLDS, seed)
        return folds.tolist(), f"held-out scores are by recording, not by source, and so too good: {reason}"
    except DataError:
        return [NEVER_HELD_OUT] * len(clips), f"no held-out scores: {reason}"
