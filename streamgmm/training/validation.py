"""Hold out each source once: what that says decides settings, calibration, and what may be promised."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import msgspec
import numpy as np

from streamgmm.config import TrainingSection
from streamgmm.dataset.folds import NEVER_HELD_OUT, grouped_stratified_folds
from streamgmm.errors import DataError
from streamgmm.training.calibration import Calibration, calibrate
from streamgmm.training.clip_vectors import ClipVectors
from streamgmm.training.fitting import DEFAULT_LIKELIHOOD_SCALE, fit_classifier, make_lesson
from streamgmm.training.fitting_frames import DEFAULT_WEIGHT
from streamgmm.training.held_out import HeldOut, HeldOutClip, score_clip
from streamgmm.training.projection import Moments, measure_moments
from streamgmm.training.search import choose_settings
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
    """

    training: TrainingSection
    calibration: Calibration
    recalls: dict[str, float]
    accuracy: float | None
    notes: tuple[str, ...] = ()


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
    frames = training.frames if all(clip.frames is not None for clip in clips) else "never"
    folds, note = _folds(clips, labels, training.seed)
    notes: tuple[str, ...] = (note,) if note else ()
    if set(folds) == {NEVER_HELD_OUT}:
        frame_weight = DEFAULT_WEIGHT if frames == "always" else 0.0
        calibration = Calibration(DEFAULT_LIKELIHOOD_SCALE, np.full(len(labels), -np.inf), frame_weight)
        return Validation(msgspec.structs.replace(training, search=False), calibration, {}, None, notes)
    trials = _Trials(clips, labels, folds, track)
    tested = trials.hold_out([training], "validating", has_frames=frames != "never")[0]
    held_out = HeldOut(tested)
    if training.search and len(labels) > 1:

        def hold_out(settings: Sequence[TrainingSection]) -> list[HeldOut]:
            results = trials.hold_out(settings, "searching")
            return [HeldOut(_with_frames(result, tested)) for result in results]

        training, held_out, choice = choose_settings(training, held_out, hold_out)
        notes += choice
    training = msgspec.structs.replace(training, search=False)
    calibration, decision = calibrate(held_out, labels, frames)
    recalls, accuracy = _count_right(held_out, labels, calibration)
    return Validation(training, calibration, recalls, accuracy, notes + decision)


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
        self, settings: Sequence[TrainingSection], description: str, *, has_frames: bool = False
    ) -> list[list[HeldOutClip]]:
        """The clips of all folds, in the same order under each of the settings."""

        def fit_and_score(job: tuple[TrainingSection, int]) -> list[HeldOutClip]:
            training, number = job
            moments = self._moments(training.copies, training.seed, number)
            known = self._known[number]
            fit = fit_classifier(known, self._labels, training, has_frames=has_frames, moments=moments)
            return [score_clip(clip, fit.classifier) for clip in self._held_out[number]]

        jobs = [(training, number) for training in settings for number in self._numbers]
        scored = list(self._track(map_in_threads(fit_and_score, jobs), description, len(jobs)))
        n = len(self._numbers)
        return [[clip for fold in scored[i * n : (i + 1) * n] for clip in fold] for i in range(len(settings))]

    def _measure(self, copies: bool, seed: int, number: int) -> Moments:
        """The costliest part of a fit, which most variations share."""
        training = TrainingSection(copies=copies, seed=seed)
        return measure_moments(*make_lesson(self._known[number], self._labels, training))


def _with_frames(clips: Sequence[HeldOutClip], measured: Sequence[HeldOutClip]) -> list[HeldOutClip]:
    """The clips with the word of their frames, which no variation changes."""
    return [clip._replace(frame_evidence=own.frame_evidence) for clip, own in zip(clips, measured, strict=True)]


def _count_right(held_out: HeldOut, labels: Sequence[str], calibration: Calibration) -> tuple[dict[str, float], float]:
    """Share of each label's clips that were recognised, and of all."""
    answers = held_out.posteriors(calibration.likelihood_scale, calibration.frame_weight).argmax(axis=1)
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
