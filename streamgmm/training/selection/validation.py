"""Cross-validation: hold out each source once, to choose settings, fit the calibration and estimate the accuracy."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import compress, islice
from typing import NamedTuple

import msgspec
import numpy as np

from streamgmm.arrays import Float64Array
from streamgmm.dataset.folds import NEVER_HELD_OUT, grouped_stratified_folds
from streamgmm.errors import DataError
from streamgmm.settings.training import TrainingSection
from streamgmm.training.extraction.clip_vectors import ClipVectors, one_at_a_time
from streamgmm.training.fitting.cepstra import DEFAULT_WEIGHT, fit_cepstra
from streamgmm.training.fitting.fitting import DEFAULT_LIKELIHOOD_SCALE, fit_classifier
from streamgmm.training.fitting.projection import ClassMoments, Moments, MomentSums, measure_class, pooled
from streamgmm.training.fitting.training_set import blocks_of, fitted_labels
from streamgmm.training.selection.calibration import Calibration, calibrate
from streamgmm.training.selection.held_out import (
    HeardAmbience,
    HeldOutClip,
    HeldOutClips,
    heard_copies,
    score_cepstra,
    score_clip,
)
from streamgmm.training.selection.search import (
    ALL_FOLDS,
    SettingsChoice,
    bottleneck_choices,
    choose_bottleneck,
    choose_settings,
)
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
        is_over_background: whether the sounds of the world were heard over the user's own background.
        ambiences: scores of places in which nothing happens, by the classifier fitted to all clips.
    """

    training: TrainingSection
    calibration: Calibration
    recalls: dict[str, float]
    accuracy: float | None
    notes: tuple[str, ...] = ()
    log_losses: Float64Array | None = None
    held_out: HeldOutClips | None = None
    is_over_background: bool = False
    ambiences: Sequence[HeardAmbience] = ()


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
        # Neither is there anything to choose a bottleneck by.
        bottleneck = "always" if training.bottleneck == "always" else "never"
        training = msgspec.structs.replace(training, search=False, bottleneck=bottleneck)
        return Validation(training, calibration, {}, None, notes)
    if training.search and len(labels) > 1:
        training, choice = _search(clips, labels, folds, training, track)
        notes += choice
    trials = _Trials(clips, labels, folds, track, ThreadExecutor())
    # A search belongs to one data set: whoever fits again with these settings must not repeat it.
    candidates = [
        msgspec.structs.replace(training, search=False, bottleneck=choice)
        for choice in bottleneck_choices(training.bottleneck, clips, labels)
    ]
    tested = trials.hold_out(candidates, "validating", has_frames=frames != "never")
    training, held_out, of_bottleneck = choose_bottleneck(
        candidates, [HeldOutClips(one, len(labels)) for one in tested]
    )
    notes += of_bottleneck
    calibration, decision = calibrate(held_out, labels, frames)
    recalls, accuracy = count_right(held_out.clean, labels, calibration)
    losses = held_out.clean.clip_log_losses(*calibration.clip_weights, calibration.clips.sharpness)
    return Validation(training, calibration, recalls, accuracy, notes + decision, losses, held_out)


def _search(
    clips: Sequence[ClipVectors],
    labels: Sequence[str],
    folds: Sequence[int],
    training: TrainingSection,
    track: ProgressTracker,
) -> SettingsChoice:
    """Choose settings by held-out clips beside a part of the world without its copies: fits would take too long.

    Without cepstral frames, which no variation changes, and without a bottleneck, which takes longer than all else.
    """
    is_heard = [not clip.is_world for clip in clips]
    for i in [i for i, clip in enumerate(clips) if clip.is_world][::WORLD_STEP]:
        is_heard[i] = True
    heard = [_heard_once(clip) if clip.is_world else clip for clip in compress(clips, is_heard)]
    # One object for all settings: folds and moments are shared.
    trials = _Trials(heard, labels, list(compress(folds, is_heard)), track, ThreadExecutor())

    def hold_out(settings: Sequence[TrainingSection], part: slice) -> Iterator[list[HeldOutClip]]:
        return trials.hold_out(settings, "searching", part=part)

    choice = choose_settings(msgspec.structs.replace(training, bottleneck="never"), len(labels), hold_out)
    return choice._replace(training=msgspec.structs.replace(choice.training, bottleneck=training.bottleneck))


def _heard_once(clip: ClipVectors) -> ClipVectors:
    return clip._replace(copies=clip.copies[:0], contexts=clip.contexts[:1])


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
        # Only folds that are held out; clips of `NEVER_HELD_OUT` are in the training part of each.
        self._numbers = sorted(set(folds) - {NEVER_HELD_OUT})
        self._pairs = list(zip(clips, folds, strict=True))
        self._folds = [
            _Fold(
                [clip for clip, fold in self._pairs if fold != number],
                [clip for clip, fold in self._pairs if fold == number],
            )
            for number in self._numbers
        ]
        self._moments: dict[tuple[bool, int], list[Moments]] = {}

    def hold_out(
        self,
        settings: Sequence[TrainingSection],
        description: str,
        part: slice = ALL_FOLDS,
        *,
        has_frames: bool = False,
    ) -> Iterator[list[HeldOutClip]]:
        """Yield the scored clips of the folds for each of the settings, in the same order.

        Args:
            settings: how to fit windows.
            description: of the work.
            part: which folds; by default all.
            has_frames: whether cepstral frames are scored too, by mixtures that the first of the settings fits to them.
        """
        folds = self._folds[part]
        n = len(folds)
        frames: list[Callable[[], _ScoredFold]] = []
        if has_frames:
            frames = [partial(score_fold_cepstra, fold, self._labels, settings[0]) for fold in folds]
        windows: list[Callable[[], _ScoredFold]] = [
            partial(score_fold_windows, fold, self._labels, training, moments)
            for training in settings
            for fold, moments in zip(folds, self._moments_for(training)[part], strict=True)
        ]
        jobs = [*frames, *windows]
        scored = iter(self._track(self._executor.map(run_job, jobs), description, len(jobs)))
        evidence = [one for fold in islice(scored, len(frames)) for one in fold.evidence]
        # Results are in the order of the jobs: all folds of the first settings, then all of the next.
        for _ in settings:
            clips = [clip for fold in islice(scored, n) for clip in fold.clips]
            yield _with_cepstra(clips, evidence) if has_frames else clips
        # Read to the end, where the progress ends too.
        next(scored, None)

    def _moments_for(self, training: TrainingSection) -> list[Moments]:
        """Return the moments of each fold: the costliest part of a fit, which most variations share."""
        # The settings that decide which windows are fitted to; all others act after the moments.
        key = (training.copies, training.seed)
        if key not in self._moments:
            fitted = fitted_labels([clip for clip, _ in self._pairs], self._labels)
            by_label = [[pair for pair in self._pairs if pair[0].clip.label == label] for label in fitted]
            work = partial(moments_without, numbers=self._numbers, has_copies=training.copies)
            sums = [MomentSums() for _ in self._numbers]
            for of_class in self._executor.map(work, by_label):
                for own, moments in zip(sums, of_class, strict=True):
                    own.add(moments)
            self._moments[key] = [own.moments() for own in sums]
        return self._moments[key]


def score_fold_windows(fold: _Fold, labels: Sequence[str], training: TrainingSection, moments: Moments) -> _ScoredFold:
    """Fit a classifier to one side of a fold, and score the windows of the other."""
    fit = fit_classifier(fold.training, labels, training, moments=moments)
    fitted = fitted_labels(fold.training, labels)
    scored = [score_clip(clip, fit.classifier, fitted.index(clip.clip.label)) for clip in one_at_a_time(fold.held_out)]
    return _ScoredFold([one for own in scored for one in own], [])


def score_fold_cepstra(fold: _Fold, labels: Sequence[str], training: TrainingSection) -> _ScoredFold:
    """Fit mixtures to the cepstral frames of one side of a fold, and score those of the other."""
    # None where the frames of this fold cannot be fitted; that of the other folds is then ignored (see `HeldOutClips`).
    mixtures = fit_cepstra(fold.training, labels, training)
    n_mixtures = len(fitted_labels(fold.training, labels))
    evidence: list[Float64Array | None] = []
    for clip in one_at_a_time(fold.held_out):
        frames = [clip.cepstra if context is None else context.cepstra for context in heard_copies(clip)]
        evidence += [score_cepstra(own, mixtures, n_mixtures) if mixtures and own else None for own in frames]
    return _ScoredFold([], evidence)


def moments_without(
    pairs: Sequence[tuple[ClipVectors, int]], numbers: Sequence[int], *, has_copies: bool
) -> list[ClassMoments]:
    """Measure the moments of the windows of one class without each of the folds `numbers` in turn.

    Each window is measured once, and what the folds have in common is added up.

    Args:
        pairs: the clips of the class, and the fold of each.
        numbers: folds to leave out.
        has_copies: whether windows of copies count.
    """
    parts = {
        fold: measure_class(blocks_of([clip for clip, own in pairs if own == fold], has_copies=has_copies))
        for fold in sorted({fold for _, fold in pairs})
    }
    return [pooled([part for fold, part in parts.items() if fold != number]) for number in numbers]


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
