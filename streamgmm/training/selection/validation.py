"""Hold out each source once: what that says decides settings, calibration, and what may be promised."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import NamedTuple

import msgspec
import numpy as np

from streamgmm.arrays import Float64Array
from streamgmm.config import TrainingSection
from streamgmm.dataset.folds import NEVER_HELD_OUT, grouped_stratified_folds
from streamgmm.errors import DataError
from streamgmm.training.extraction.clip_vectors import ClipVectors
from streamgmm.training.fitting.cepstra import DEFAULT_WEIGHT, fit_cepstra
from streamgmm.training.fitting.fitting import DEFAULT_LIKELIHOOD_SCALE, fit_classifier, make_lesson
from streamgmm.training.fitting.projection import Moments, measure_moments
from streamgmm.training.selection.calibration import Calibration, calibrate
from streamgmm.training.selection.held_out import HeldOut, HeldOutClip, score_cepstra, score_clip
from streamgmm.training.selection.search import choose_settings
from streamgmm.training.workers import Track, map_in_threads, untracked

N_FOLDS = 5


class Validation(NamedTuple):
    """What held-out clips say.

    Attributes:
        training: the settings to fit with, found and to be searched for no more.
        calibration: of the classifier.
        recalls: share of each label's held-out clips that were recognised; empty without validation.
        accuracy: share of all held-out clips; None without validation.
        notes: what was chosen and why, and why scores are missing or flatter.
        log_losses: of the held-out clips, nat, in an order that depends on clips and seed alone; None without any.
    """

    training: TrainingSection
    calibration: Calibration
    recalls: dict[str, float]
    accuracy: float | None
    notes: tuple[str, ...] = ()
    log_losses: Float64Array | None = None


def validate(
    clips: Sequence[ClipVectors],
    labels: Sequence[str],
    training: TrainingSection,
    track: Track = untracked,
) -> Validation:
    """Hold out each source once, and learn from that how to fit and how far the likelihoods can be trusted.

    Args:
        clips: all clips; no source is ever divided between training and test.
        labels: sorted names.
        training: how to fit, whether to look for better settings, whether mixtures of frames may take part.
        track: shows the folds.
    """
    frames = training.cepstra if all(clip.cepstra is not None for clip in clips) else "never"
    folds, note = _folds(clips, labels, training.seed)
    notes: tuple[str, ...] = (note,) if note else ()
    if set(folds) == {NEVER_HELD_OUT}:
        cepstral_weight = DEFAULT_WEIGHT if frames == "always" else 0.0
        calibration = Calibration(DEFAULT_LIKELIHOOD_SCALE, np.full(len(labels), -np.inf), cepstral_weight)
        return Validation(msgspec.structs.replace(training, search=False), calibration, {}, None, notes)
    trials = _Trials(clips, labels, folds, track)
    (tested,) = trials.hold_out([training], "validating", has_cepstra=frames != "never")
    held_out = HeldOut(tested)
    if training.search and len(labels) > 1:

        def hold_out(settings: Sequence[TrainingSection]) -> list[HeldOut]:
            results = trials.hold_out(settings, "searching")
            # No variation changes the word of the frames.
            return [HeldOut(_with_cepstra(result, [clip.cepstral_evidence for clip in tested])) for result in results]

        training, held_out, choice = choose_settings(training, held_out, hold_out)
        notes += choice
    training = msgspec.structs.replace(training, search=False)
    calibration, decision = calibrate(held_out, labels, frames)
    recalls, accuracy = _count_right(held_out, labels, calibration)
    losses = held_out.clip_log_losses(
        calibration.likelihood_scale, calibration.cepstral_weight, calibration.clips.sharpness
    )
    return Validation(training, calibration, recalls, accuracy, notes + decision, losses)


class _Scored(NamedTuple):
    """One fold: its clips by their windows, or what the frames of each of them say."""

    clips: list[HeldOutClip]
    evidence: list[Float64Array | None]


class _Trials:
    """Fits without each fold in turn, and what they say of its clips."""

    def __init__(self, clips: Sequence[ClipVectors], labels: Sequence[str], folds: Sequence[int], track: Track) -> None:
        self._labels = labels
        self._track = track
        self._numbers = sorted(set(folds) - {NEVER_HELD_OUT})
        pairs = list(zip(clips, folds, strict=True))
        self._known = {number: [clip for clip, fold in pairs if fold != number] for number in self._numbers}
        self._held_out = {number: [clip for clip, fold in pairs if fold == number] for number in self._numbers}
        self._moments = cache(self._measure)

    def hold_out(
        self, settings: Sequence[TrainingSection], description: str, *, has_cepstra: bool = False
    ) -> list[list[HeldOutClip]]:
        """The clips of all folds, in the same order under each of the settings.

        Args:
            settings: how to fit windows.
            description: of the work.
            has_cepstra: whether to hear their frames too, fitted by the first of the settings.
        """
        n = len(self._numbers)
        windows = [partial(self._score_windows, training, number) for training in settings for number in self._numbers]
        frames = [partial(self._score_cepstra, settings[0], number) for number in self._numbers] if has_cepstra else []
        jobs: list[Callable[[], _Scored]] = [*frames, *windows]
        scored = list(self._track(map_in_threads(_done, jobs), description, len(jobs)))
        evidence = [one for fold in scored[: len(frames)] for one in fold.evidence]
        held_out = [fold.clips for fold in scored[len(frames) :]]
        trials = [[clip for fold in held_out[i * n : (i + 1) * n] for clip in fold] for i in range(len(settings))]
        return [_with_cepstra(clips, evidence) for clips in trials] if has_cepstra else trials

    def _score_windows(self, training: TrainingSection, number: int) -> _Scored:
        moments = self._moments(training.copies, training.seed, number)
        fit = fit_classifier(self._known[number], self._labels, training, moments=moments)
        return _Scored([score_clip(clip, fit.classifier) for clip in self._held_out[number]], [])

    def _score_cepstra(self, training: TrainingSection, number: int) -> _Scored:
        mixtures = fit_cepstra(self._known[number], self._labels, training)
        n_labels = len(self._labels)
        return _Scored(
            [],
            [
                score_cepstra(clip.cepstra, mixtures, n_labels) if mixtures and clip.cepstra else None
                for clip in self._held_out[number]
            ],
        )

    def _measure(self, copies: bool, seed: int, number: int) -> Moments:
        """The costliest part of a fit, which most variations share."""
        training = TrainingSection(copies=copies, seed=seed)
        return measure_moments(*make_lesson(self._known[number], self._labels, training))


def _done(job: Callable[[], _Scored]) -> _Scored:
    return job()


def _with_cepstra(clips: Sequence[HeldOutClip], evidence: Sequence[Float64Array | None]) -> list[HeldOutClip]:
    return [clip._replace(cepstral_evidence=own) for clip, own in zip(clips, evidence, strict=True)]


def _count_right(held_out: HeldOut, labels: Sequence[str], calibration: Calibration) -> tuple[dict[str, float], float]:
    """Share of each label's clips that were recognised, and of all."""
    answers = held_out.posteriors(calibration.likelihood_scale, calibration.cepstral_weight).argmax(axis=1)
    is_right = answers == held_out.label_indices
    recalls = {
        labels[i]: float(is_right[held_out.label_indices == i].mean()) for i in np.unique(held_out.label_indices)
    }
    return recalls, float(is_right.mean())


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
