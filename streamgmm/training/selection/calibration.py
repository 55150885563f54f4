"""Honest scores for the posteriors: what was held out decides how sure the mixtures may be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize, minimize_scalar

from streamgmm.arrays import Float64Array
from streamgmm.config import CepstraChoice
from streamgmm.decision.clip import Typical
from streamgmm.labels import is_reserved
from streamgmm.model.classifier import PLAIN_VOTES, Classifier, ClipCalibration
from streamgmm.training.fitting.fitting import Fit
from streamgmm.training.selection.held_out import HeldOut

SCALE_RANGE = (1e-3, 2.0)
WEIGHT_RANGE = (1e-3, 1e3)
SHARPNESS_RANGE = (0.2, 20.0)

DOMAIN_QUANTILE = 0.01
"""Share of a label's own held-out windows that may fall below its floor."""

UNKNOWN_QUANTILE = 0.005
"""Share of held-out clips that would be `unknown`; many of them are right answers, which are lost."""

FLOOR_SLACK_NAT = 1.0
"""How far below the floor of held-out windows, for each dimension, a window may still lie: another room or microphone
moves all of them a little. Without it two of three windows of speech in another kind of recording were refused, though
the posteriors left no doubt; in scenes of known and strange sounds it makes no difference."""

MAX_MIN_KNOWNNESS = 0.5
"""What is more likely known than not is never refused: few clips say little of the worst one."""

MIN_DEVIATION_NAT = 1.0
"""Of likelihoods of clips of a label: a few clips may happen to be alike."""

MIN_STANDARD_ERRORS = 1.0
MANY_CLIPS = 50
"""Frames, which cost more, have to lower the log loss by this many standard errors: of two models that fare alike, take
the simpler (Breiman, Friedman, Olshen and Stone, Classification and Regression Trees, 1984, section 3.4.3). Twice as
many if there are fewer clips than that, as their standard error is little known itself."""

MIN_SHARE_GAINED = 0.1
MIN_NATS_GAINED = 0.01
"""Frames have to lower it by this share of itself and by so much too, since a stream with frames costs a third more."""


class Calibration(NamedTuple):
    """What held-out clips say of how far to trust.

    Attributes:
        likelihood_scale: factor on log-likelihoods with the least held-out log loss.
        floors: shape (n_labels,), log-likelihoods that all but a few windows of a label reach.
        cepstral_weight: of frames beside windows; 0 if windows decide alone.
        clips: how votes become posteriors of clips, and from where on a clip is known.
    """

    likelihood_scale: float
    floors: Float64Array
    cepstral_weight: float = 0.0
    clips: ClipCalibration = PLAIN_VOTES


def calibrate(held_out: HeldOut, labels: Sequence[str], frames: CepstraChoice) -> tuple[Calibration, tuple[str, ...]]:
    """The calibration with the least log loss, and what was decided about frames."""
    scale, cepstral_weight, notes = _choose_cepstra(held_out, frames)
    sharpness = _best_sharpness(held_out, scale, cepstral_weight)
    typical = _typical(held_out, len(labels), cepstral_weight)
    least = _least_knownness(held_out, labels, scale, cepstral_weight, typical)
    floors = np.full(len(labels), -np.inf)
    scores = held_out.scores(cepstral_weight)
    for i in np.unique(held_out.label_indices):
        floors[i] = np.quantile(scores[held_out.window_label_indices == i, i], DOMAIN_QUANTILE)
    clips = ClipCalibration(sharpness, least, tuple(typical.log_likelihoods.tolist()), typical.deviation)
    return Calibration(scale, floors, cepstral_weight, clips), notes


def calibrated(fit: Fit, calibration: Calibration) -> Classifier:
    """The classifier of `fit` under `calibration`, its floors lowered by `FLOOR_SLACK_NAT` for each dimension."""
    frames = fit.classifier.cepstra
    weight = calibration.cepstral_weight
    return replace(
        fit.classifier,
        likelihood_scale=calibration.likelihood_scale,
        floors=calibration.floors - FLOOR_SLACK_NAT * fit.classifier.projection.n_dimensions,
        cepstra=replace(frames, weight=weight) if frames and weight else None,
        clips=calibration.clips,
    )


def gain(before: Float64Array, after: Float64Array) -> tuple[float, float]:
    """How much lower losses (n,) are than before, in the mean, and the standard error of that."""
    gains = before - after
    return float(gains.mean()), float(gains.std() / np.sqrt(len(gains)))


def _choose_cepstra(held_out: HeldOut, frames: CepstraChoice) -> tuple[float, float, tuple[str, ...]]:
    """The likelihood scale, the weight of frames, and why it is so."""
    scale = best_scale(held_out)
    if not held_out.has_cepstra:
        return scale, 0.0, () if frames == "never" else ("frames do not take part: a class has too few of them",)
    scale_beside, cepstral_weight = _best_weights(held_out, scale)
    alone, beside = held_out.log_losses(scale), held_out.log_losses(scale_beside, cepstral_weight)
    gained, standard_error = gain(alone, beside)
    is_better = gained > max(
        _n_standard_errors(len(alone)) * standard_error, MIN_SHARE_GAINED * float(alone.mean()), MIN_NATS_GAINED
    )
    note = (
        f"frames {'take part' if is_better or frames == 'always' else 'do not take part'}: held-out log loss "
        f"{beside.mean():.3f} with them, {alone.mean():.3f} without (difference {gained:.3f}, "
        f"standard error {standard_error:.3f})"
    )
    if is_better or frames == "always":
        return scale_beside, cepstral_weight, (note,)
    return scale, 0.0, (note,)


def best_scale(held_out: HeldOut) -> float:
    """The factor with the least log loss (temperature scaling: Guo et al., ICML, 2017), clips weighing alike."""

    def log_loss(log_scale: float) -> float:
        return float(held_out.log_losses(float(np.exp(log_scale))).mean())

    best = minimize_scalar(log_loss, bounds=np.log(SCALE_RANGE), method="bounded", options={"xatol": 1e-3})
    return float(np.exp(best.x))


def _best_weights(held_out: HeldOut, scale: float) -> tuple[float, float]:
    """Likelihood scale and weight of frames that have the least log loss together (Nelder and Mead, 1965)."""

    def log_loss(logs: Float64Array) -> float:
        scale, cepstral_scale = np.exp(logs)
        return float(held_out.log_losses(float(scale), float(cepstral_scale / scale)).mean())

    bounds = [np.log(SCALE_RANGE), np.log(WEIGHT_RANGE)]
    options = {"xatol": 1e-2, "fatol": 1e-5}
    # Once from windows that decide nearly alone, once from frames that do: the loss has a valley at either end.
    starts = [np.log([scale, 0.01]), np.log([max(0.2 * scale, SCALE_RANGE[0]), 0.5])]
    ends = [minimize(log_loss, start, method="Nelder-Mead", bounds=bounds, options=options) for start in starts]
    scale, cepstral_scale = np.exp(min(ends, key=lambda end: float(end.fun)).x)
    return float(scale), float(cepstral_scale / scale)


def _n_standard_errors(n_clips: int) -> float:
    return MIN_STANDARD_ERRORS if n_clips >= MANY_CLIPS else 2.0 * MIN_STANDARD_ERRORS


def _best_sharpness(held_out: HeldOut, scale: float, cepstral_weight: float) -> float:
    """The exponent on the votes of clips with the least log loss: many windows that agree are surer than each."""

    def log_loss(log_sharpness: float) -> float:
        return float(held_out.clip_log_losses(scale, cepstral_weight, float(np.exp(log_sharpness))).mean())

    best = minimize_scalar(log_loss, bounds=np.log(SHARPNESS_RANGE), method="bounded", options={"xatol": 1e-3})
    return float(np.exp(best.x))


def _typical(held_out: HeldOut, n_labels: int, cepstral_weight: float) -> Typical:
    """How likely held-out clips are under the mixture of their own label; of labels without any, as of all others."""
    scores, own = held_out.clip_scores(cepstral_weight), held_out.label_indices
    of_clips = scores[np.arange(len(own)), own]
    means = np.full(n_labels, of_clips.mean())
    for i in np.unique(own):
        means[i] = of_clips[own == i].mean()
    return Typical(means, max(MIN_DEVIATION_NAT, float((of_clips - means[own]).std())))


def _least_knownness(
    held_out: HeldOut, labels: Sequence[str], scale: float, cepstral_weight: float, typical: Typical
) -> float:
    """What all but a few held-out clips of labels that are not reserved reach."""
    is_label = np.array([not is_reserved(label) for label in labels])
    if not is_label.any():
        return 0.0
    known = held_out.knownness(scale, cepstral_weight, is_label, typical)[is_label[held_out.label_indices]]
    return min(MAX_MIN_KNOWNNESS, float(np.quantile(known, UNKNOWN_QUANTILE))) if len(known) else 0.0
