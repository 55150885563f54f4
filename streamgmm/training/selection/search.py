"""Which way of fitting suits these sounds: a few variations of the settings, compared on held-out clips."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from streamgmm.arrays import Float64Array
from streamgmm.config import TrainingSection
from streamgmm.training.selection.calibration import best_scale, gain
from streamgmm.training.selection.held_out import HeldOut

Variation = dict[str, Any]
"""Settings by name, with values other than the default ones."""

DEFAULTS = TrainingSection()

VARIATIONS: tuple[tuple[Variation, ...], ...] = (
    ({"copies": False},),
    ({"n_components": 1}, {"n_components": 6}),
    ({"lda_shrinkage": 0.1}, {"lda_shrinkage": 0.6}),
    ({"n_principal": 4}, {"n_principal": 60}),
    ({"variance_floor": 0.2},),
    # Mixtures that are not refined do better with fewer dimensions.
    ({"refinement": False, "n_principal": 4},),
)
"""Groups of which at most one variation is taken. What differs most between kinds of sound: words want more dimensions,
few recordings fewer components, and pitch may be what tells two sounds apart."""

MIN_STANDARD_ERRORS = 2.0
"""By which a variation has to be better: twice what is asked of a single comparison, as the best of many is lucky."""

HoldOut = Callable[[Sequence[TrainingSection]], list[HeldOut]]
"""Holds out each source once under each of some settings."""


class Choice(NamedTuple):
    """What was chosen.

    Attributes:
        training: the settings.
        held_out: how clips fared under them.
        notes: what was chosen and why.
    """

    training: TrainingSection
    held_out: HeldOut
    notes: tuple[str, ...]


def choose_settings(training: TrainingSection, base: HeldOut, hold_out: HoldOut) -> Choice:
    """The settings with the least held-out log loss among the variations that were tried.

    A variation has to be better than `training` by two standard errors, for else the best of many would be luck.
    Those of several groups are combined, if that is better still than the best one alone.

    Args:
        training: where to start; settings that are not the default ones are the user's choice, and stay.
        base: how clips fared under them.
        hold_out: tries other settings.
    """
    groups = [[varied for varied in group if _may_vary(varied, training)] for group in VARIATIONS]
    tried = [varied for group in groups for varied in group]
    results = hold_out([msgspec.structs.replace(training, **varied) for varied in tried])
    trials = [_Trial(varied, result) for varied, result in zip(tried, results, strict=True)]
    before = _losses(base)
    better = [trial for trial in trials if _is_better(before, trial.losses)]
    winners = [min(own, key=_loss) for group in groups if (own := [one for one in better if one.varied in group])]
    if not winners:
        return Choice(
            training, base, (f"defaults kept: none of {len(tried)} variations had a lower held-out log loss",)
        )
    best = min(winners, key=_loss)
    if len(winners) > 1:
        # The best one last, so that it has its way where two set the same.
        together = {
            key: value for trial in sorted(winners, key=_loss, reverse=True) for key, value in trial.varied.items()
        }
        (result,) = hold_out([msgspec.structs.replace(training, **together)])
        best = min(best, _Trial(together, result), key=_loss)
    note = f"{_name(best.varied)}: held-out log loss {_loss(best):.3f}, {before.mean():.3f} with defaults"
    return Choice(msgspec.structs.replace(training, **best.varied), best.held_out, (note,))


class _Trial:
    """A variation, and how clips fared under it."""

    def __init__(self, varied: Variation, held_out: HeldOut) -> None:
        self.varied = varied
        self.held_out = held_out
        self.losses = _losses(held_out)


def _loss(trial: _Trial) -> float:
    return float(trial.losses.mean())


def _losses(held_out: HeldOut) -> Float64Array:
    return held_out.log_losses(best_scale(held_out))


def _is_better(before: Float64Array, after: Float64Array) -> bool:
    gained, standard_error = gain(before, after)
    return gained > MIN_STANDARD_ERRORS * standard_error


def _may_vary(varied: Variation, training: TrainingSection) -> bool:
    """Whether all that would vary still has its default value, and would make a difference."""
    if any(getattr(training, name) != getattr(DEFAULTS, name) for name in varied):
        return False
    has_copies = training.n_speed_copies + training.n_noise_copies > 0
    is_refined = training.covariance == "diag"
    return not ("copies" in varied and not has_copies) and not ("refinement" in varied and not is_refined)


def _name(varied: Variation) -> str:
    return ", ".join(f"{name} {str(value).lower()}" for name, value in varied.items())
