"""Calibrate posteriors and rejection by the scores of held-out clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize, minimize_scalar

from streamgmm.arrays import Float64Array
from streamgmm.decision.clip import TypicalLikelihoods
from streamgmm.labels import is_reserved
from streamgmm.model.classifier import PLAIN_VOTES, Classifier, ClipCalibration
from streamgmm.settings.training import CepstraChoice
from streamgmm.training.fitting.fitting import Fit
from streamgmm.training.selection.held_out import HeldOutClips

SCALE_RANGE = (1e-3, 2.0)
WEIGHT_RANGE = (1e-3, 1e3)
SHARPNESS_RANGE = (0.2, 20.0)

DOMAIN_QUANTILE = 0.01
"""Share of a label's own held-out windows that may lie below its floor."""

UNKNOWN_QUANTILE = 0.005
"""Share of held-out clips that would be rejected as `unknown`; many of these are recognised correctly, and so lost."""

FLOOR_SLACK_NAT = 1.0
"""Slack below the floor of held-out windows, for each dimension: another room or microphone shifts every dimension a
little. Without slack, two of three windows of speech in another kind of recording were rejected although their
posteriors were high; in scenes of known and unknown sounds it makes no difference."""

MAX_MIN_IN_DOMAIN_SCORE = 0.5
"""Upper limit of the rejection threshold: clips that are more likely known than not are never rejected, as the lowest
score of a few held-out clips is a poor estimate of a quantile."""

MIN_DEVIATION_NAT = 1.0
"""Least standard deviation of the likelihoods of clips: a few clips may happen to be alike."""

CEPSTRA_MIN_STANDARD_ERRORS = 1.0
MANY_CLIPS = 50
"""Cepstral frames have to lower the log loss by this many standard errors: of two models of similar loss, take the
simpler (Breiman, Friedman, Olshen and Stone, Classification and Regression Trees, 1984, section 3.4.3). Twice as many
with fewer than `MANY_CLIPS`, since the standard error is itself uncertain then."""

MIN_SHARE_GAINED = 0.1
MIN_NATS_GAINED = 0.01
"""Cepstral frames also have to lower the loss by this share and by this amount: they make a stream a third more
expensive."""


LossFunction = Callable[[float, float], Float64Array]
"""Returns the log loss of each clip (nat) under a likelihood scale and a weight of cepstral frames."""


class Weights(NamedTuple):
    """Factors on the two kinds of log-likelihoods.

    Attributes:
        scale: on those of windows, and on weighted ones of cepstral frames.
        cepstral: on those of cepstral frames, before `scale`; 0 if they are not used.
    """

    scale: float
    cepstral: float


class Calibration(NamedTuple):
    """Parameters of posteriors and rejection, fitted to held-out clips.

    Attributes:
        likelihood_scale: factor on log-likelihoods with the least held-out log loss in context.
        floors: shape (n_labels,), log-likelihoods that all but a few windows of each label reach.
        cepstral_weight: weight of cepstral frames relative to windows in hops; 0 for windows alone.
        clips: the same of clips, the sharpness of their posteriors, and the threshold of their rejection.
    """

    likelihood_scale: float
    floors: Float64Array
    cepstral_weight: float = 0.0
    clips: ClipCalibration = PLAIN_VOTES

    @property
    def clip_weights(self) -> Weights:
        """The weights in clips."""
        scale, cepstral_weight = self.clips.likelihood_scale, self.clips.cepstral_weight
        return Weights(
            self.likelihood_scale if scale is None else scale,
            self.cepstral_weight if cepstral_weight is None else cepstral_weight,
        )

    @property
    def uses_cepstra(self) -> bool:
        """Whether cepstral frames take part in clips or in hops."""
        return self.cepstral_weight > 0.0 or self.clip_weights.cepstral > 0.0


def calibrate(
    held_out: HeldOutClips, labels: Sequence[str], frames: CepstraChoice
) -> tuple[Calibration, tuple[str, ...]]:
    """Return the calibration with the least log loss, and notes on the use of cepstral frames."""
    notes: tuple[str, ...] = ()
    if not held_out.has_cepstra and frames != "never":
        frames, notes = "never", ("cepstral frames are not used: a class has too few",)
    # Clips are answered as they are recorded, by the votes of their windows.
    clean = held_out.clean
    of_clips, clip_notes = _choose_cepstra(clean.answer_log_losses, clean, frames, "for clips")
    # Events are decided window by window, in context. Frames are never forced on them: most may be of the room.
    in_context = held_out.in_context
    of_events: CepstraChoice = "never" if frames == "never" else "auto"
    of_hops, hop_notes = _choose_cepstra(in_context.log_losses, in_context, of_events, "for events")
    sharpness = _best_sharpness(clean, of_clips)
    # How well a sound fits a label tells more beside how well it fits all sounds of the world.
    background = held_out.background_index(labels)
    typical = _typical(clean, len(labels), of_clips.cepstral, background)
    least = _min_in_domain_score(clean, labels, of_clips, typical, background)
    # A label without held-out clips has no floor: nothing is known of how low its windows may lie.
    floors = np.full(len(labels), -np.inf)
    scores = held_out.scores(of_hops.cepstral)
    for i in np.unique(clean.label_indices):
        # Windows of the label under its own mixture.
        is_own = (held_out.window_label_indices == i) & held_out.is_counted
        floors[i] = np.quantile(scores[is_own, i], DOMAIN_QUANTILE)
    clips = ClipCalibration(
        sharpness=sharpness,
        min_in_domain_score=least,
        typical=tuple(typical.log_likelihoods.tolist()),
        typical_deviation=typical.deviation,
        typical_are_ratios=typical.are_ratios,
        likelihood_scale=of_clips.scale,
        cepstral_weight=of_clips.cepstral,
    )
    return Calibration(of_hops.scale, floors, of_hops.cepstral, clips), notes + clip_notes + hop_notes


def calibrated(fit: Fit, calibration: Calibration) -> Classifier:
    """Return the classifier of `fit` with `calibration`, its floors lowered by `FLOOR_SLACK_NAT` for each dimension."""
    frames = fit.classifier.cepstra
    return replace(
        fit.classifier,
        likelihood_scale=calibration.likelihood_scale,
        floors=calibration.floors - FLOOR_SLACK_NAT * fit.classifier.projection.n_dimensions,
        cepstra=replace(frames, weight=calibration.cepstral_weight) if frames and calibration.uses_cepstra else None,
        clips=calibration.clips,
    )


def gain(before: Float64Array, after: Float64Array) -> tuple[float, float]:
    """Return by how much losses (n,) have decreased in the mean, and the standard error of this difference."""
    # Paired: most of the spread is between clips, and the same clip is easy or hard under both.
    gains = before - after
    return float(gains.mean()), float(gains.std() / np.sqrt(len(gains)))


def _choose_cepstra(
    losses: LossFunction, held_out: HeldOutClips, frames: CepstraChoice, where: str
) -> tuple[Weights, tuple[str, ...]]:
    """Return the weights with the least mean of `losses`, and notes on the choice."""
    windows_alone = Weights(best_scale(losses), 0.0)
    if frames == "never":
        return windows_alone, ()
    both = _best_weights(losses, windows_alone.scale)
    alone, beside = (held_out.pooled(losses(*weights)) for weights in (windows_alone, both))
    gained, standard_error = gain(alone, beside)
    n_errors = CEPSTRA_MIN_STANDARD_ERRORS * (1.0 if len(alone) >= MANY_CLIPS else 2.0)
    # All three have to be exceeded, so the largest one decides.
    needed = max(n_errors * standard_error, MIN_SHARE_GAINED * float(alone.mean()), MIN_NATS_GAINED)
    is_better = gained > needed
    needs = "used in any case" if frames == "always" else f"more than {needed:.3f} is needed to be sure"
    note = (
        f"cepstral frames are {'used' if is_better or frames == 'always' else 'not used'} {where}: held-out log loss "
        f"{beside.mean():.3f} with them, {alone.mean():.3f} without (difference {gained:.3f}, "
        f"standard error {standard_error:.3f}; {needs})"
    )
    return both if is_better or frames == "always" else windows_alone, (note,)


def best_scale(losses: LossFunction) -> float:
    """Return the factor of least mean log loss of windows alone (temperature scaling: Guo et al., ICML, 2017)."""

    def log_loss(log_scale: float) -> float:
        return float(losses(float(np.exp(log_scale)), 0.0).mean())

    # In logarithms, as the scale may vary over several orders of magnitude.
    best = minimize_scalar(log_loss, bounds=np.log(SCALE_RANGE), method="bounded", options={"xatol": 1e-3})
    return float(np.exp(best.x))


def _best_weights(losses: LossFunction, scale: float) -> Weights:
    """Return the weights with the least log loss (Nelder and Mead, 1965)."""

    def log_loss(logs: Float64Array) -> float:
        scale, cepstral_scale = np.exp(logs)
        return float(losses(float(scale), float(cepstral_scale / scale)).mean())

    # Each kind of log-likelihood has a factor of its own; the weight is their ratio.
    bounds = [np.log(SCALE_RANGE), np.log(WEIGHT_RANGE)]
    options = {"xatol": 1e-2, "fatol": 1e-5}
    # One start where windows dominate, one where cepstral frames do: the loss has a local minimum near each.
    starts = [np.log([scale, 0.01]), np.log([max(0.2 * scale, SCALE_RANGE[0]), 0.5])]
    ends = [minimize(log_loss, start, method="Nelder-Mead", bounds=bounds, options=options) for start in starts]
    scale, cepstral_scale = np.exp(min(ends, key=lambda end: float(end.fun)).x)
    return Weights(float(scale), float(cepstral_scale / scale))


def _best_sharpness(held_out: HeldOutClips, weights: Weights) -> float:
    """Return the exponent on the votes of clips with the least log loss: many windows that agree are surer than one."""

    def log_loss(log_sharpness: float) -> float:
        return float(held_out.clip_log_losses(*weights, float(np.exp(log_sharpness))).mean())

    best = minimize_scalar(log_loss, bounds=np.log(SHARPNESS_RANGE), method="bounded", options={"xatol": 1e-3})
    return float(np.exp(best.x))


def _typical(
    held_out: HeldOutClips, n_labels: int, cepstral_weight: float, background: int | None
) -> TypicalLikelihoods:
    """Return typical log-likelihoods of clips under the mixture of their label; of all clips for labels without any."""
    scores, own = held_out.clip_scores(cepstral_weight, background), held_out.label_indices
    of_clips = scores[np.arange(len(own)), own]
    means = np.full(n_labels, of_clips.mean())
    # A label without held-out clips keeps the mean of all: its own would need clips that were not fitted to.
    for i in np.unique(own):
        means[i] = of_clips[own == i].mean()
    deviation = max(MIN_DEVIATION_NAT, float((of_clips - means[own]).std()))
    return TypicalLikelihoods(means, deviation, are_ratios=background is not None)


def _min_in_domain_score(
    held_out: HeldOutClips,
    labels: Sequence[str],
    weights: Weights,
    typical: TypicalLikelihoods,
    background: int | None,
) -> float:
    """Return the in-domain score that all but a few held-out clips of ordinary labels reach."""
    is_label = np.array([not is_reserved(label) for label in labels])
    if not is_label.any():
        return 0.0
    # Only clips of ordinary labels: a rejected background clip makes no difference to events.
    known = held_out.in_domain_scores(*weights, is_label, typical, background)[is_label[held_out.label_indices]]
    return min(MAX_MIN_IN_DOMAIN_SCORE, float(np.quantile(known, UNKNOWN_QUANTILE))) if len(known) else 0.0
