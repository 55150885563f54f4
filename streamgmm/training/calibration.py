"""Honest scores for the posteriors: what was held out decides how sure the mixtures may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from streamgmm.config import TrainingSection
from streamgmm.errors import DataError
from streamgmm.model.classifier import Classifier
from streamgmm.training.extraction import ClipVectors
from streamgmm.training.fitting import DEFAULT_LIKELIHOOD_SCALE, Fit, fit_classifier
from streamgmm.training.folds import NEVER_HELD_OUT, grouped_stratified_folds
from streamgmm.training.workers import Track, map_in_threads, untracked

Array = npt.NDArray[np.float64]

N_FOLDS = 5
SCALE_RANGE = (1e-3, 2.0)
DOMAIN_QUANTILE = 0.01
"""Share of a label's own held-out windows that may fall below its floor."""


class HeldOut(NamedTuple):
    """How clips fared that the classifier had not seen.

    Attributes:
        log_likelihoods: one array (n_windows, n_labels) per clip, nat.
        label_indices: of the clips.
    """

    log_likelihoods: list[Array]
    label_indices: list[int]


class Validation(NamedTuple):
    """What held-out clips say.

    Attributes:
        likelihood_scale: factor on log-likelihoods with the least held-out log loss.
        floors: shape (n_labels,), log-likelihoods that all but a few windows of a label reach.
        recalls: share of each label's held-out clips that were recognised; empty without validation.
        accuracy: share of all held-out clips; None without validation.
        note: why it is missing or flatters, or empty.
    """

    likelihood_scale: float
    floors: Array
    recalls: dict[str, float]
    accuracy: float | None
    note: str = ""


def validate(
    clips: Sequence[ClipVectors], labels: Sequence[str], training: TrainingSection, track: Track = untracked
) -> Validation:
    """Hold out each source once, and learn from that how far the likelihoods can be trusted.

    Args:
        clips: all clips; no source is ever divided between training and test.
        labels: sorted names.
        training: how to fit.
        track: shows the folds.
    """
    folds, note = _folds(clips, labels, training.seed)
    numbers = sorted(set(folds) - {NEVER_HELD_OUT})
    if not numbers:
        return _unvalidated(labels, note)
    tested: list[ClipVectors] = []
    scores: list[Array] = []

    def hold_out(number: int) -> tuple[list[ClipVectors], list[Array]]:
        fit = fit_classifier([c for c, fold in zip(clips, folds, strict=True) if fold != number], labels, training)
        held_out = [c for c, fold in zip(clips, folds, strict=True) if fold == number]
        return held_out, [fit.classifier.score_many(c.vectors.astype(np.float64)).log_likelihoods for c in held_out]

    for held_out, log_likelihoods in track(map_in_threads(hold_out, numbers), "validating", len(numbers)):
        tested += held_out
        scores += log_likelihoods
    return _summarise(HeldOut(scores, [labels.index(c.clip.label) for c in tested]), labels, note)


def calibrated(fit: Fit, validation: Validation) -> Classifier:
    """The classifier of `fit` with the scale and the floors of `validation`."""
    return replace(fit.classifier, likelihood_scale=validation.likelihood_scale, floors=validation.floors)


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


def _unvalidated(labels: Sequence[str], note: str) -> Validation:
    return Validation(DEFAULT_LIKELIHOOD_SCALE, np.full(len(labels), -np.inf), {}, None, note)


def _summarise(held_out: HeldOut, labels: Sequence[str], note: str) -> Validation:
    scale = _best_scale(held_out)
    floors = np.full(len(labels), -np.inf)
    recalls: dict[str, float] = {}
    is_right = np.array([_posteriors(ll, scale).mean(axis=0).argmax() for ll in held_out.log_likelihoods])
    is_right = is_right == np.array(held_out.label_indices)
    for i, label in enumerate(labels):
        members = [n for n, index in enumerate(held_out.label_indices) if index == i]
        if members:
            own = np.concatenate([held_out.log_likelihoods[n][:, i] for n in members])
            floors[i] = np.quantile(own, DOMAIN_QUANTILE)
            recalls[label] = float(is_right[members].mean())
    return Validation(scale, floors, recalls, float(is_right.mean()), note)


def _best_scale(held_out: HeldOut) -> float:
    """The factor with the least log loss (temperature scaling: Guo et al., ICML, 2017), clips weighing alike."""

    def log_loss(log_scale: float) -> float:
        losses = [
            -np.log(_posteriors(ll, float(np.exp(log_scale)))[:, i] + 1e-12).mean()
            for ll, i in zip(held_out.log_likelihoods, held_out.label_indices, strict=True)
        ]
        return float(np.mean(losses))

    best = minimize_scalar(log_loss, bounds=np.log(SCALE_RANGE), method="bounded", options={"xatol": 1e-3})
    return float(np.exp(best.x))


def _posteriors(log_likelihoods: Array, scale: float) -> Array:
    logits = scale * log_likelihoods
    odds = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True))
