"""Hyperparameter search: compare a few variations of the settings on held-out clips."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from streamgmm.arrays import Float64Array
from streamgmm.settings.training import BottleneckChoice, TrainingSection
from streamgmm.training.extraction.clip_vectors import ClipVectors
from streamgmm.training.selection.calibration import best_scale, gain
from streamgmm.training.selection.held_out import HeldOutClip, HeldOutClips

Variation = dict[str, Any]
"""Settings by name, with values that differ from the defaults."""

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
"""Groups of variations, of which at most one each is chosen. These settings depend most on the kind of sound: spoken
words need more dimensions, few recordings fewer components; where pitch separates the classes, speed copies harm."""

SEARCH_MIN_STANDARD_ERRORS = 2.0
"""A variation has to be better by this many standard errors: twice those of a single comparison, because the best of
many is partly lucky."""

SEARCH_MIN_GAIN = 0.005
"""Least gain (nat): where clips are told apart with near certainty already, a smaller one is sure but means nothing."""

MIN_CLIPS_FOR_BOTTLENECK = 24
"""Clips per label, in the mean, from which a bottleneck is tried. With 8 and 16 clips, mixtures behind one took more
foreign sounds in rooms for a label (`tests.benchmarks.room`), although held-out clips lost nothing."""

FIRST_FOLDS, OTHER_FOLDS, ALL_FOLDS = slice(None, 2), slice(2, None), slice(None)
"""All variations are tried on the first folds, and only those that gain there on the others (racing: Maron and Moore,
NIPS, 1993). More than half of the fits are saved; one that would gain 2.5 standard errors on five folds gains on two of
them in 94 of 100 cases."""

HoldOutFunction = Callable[[Sequence[TrainingSection], slice], Iterable[Sequence[HeldOutClip]]]
"""Holds out the sources of some of the folds once with each of several settings."""


class SettingsChoice(NamedTuple):
    """The chosen settings, and notes on the choice and its reason."""

    training: TrainingSection
    notes: tuple[str, ...]


def choose_settings(training: TrainingSection, n_labels: int, hold_out: HoldOutFunction) -> SettingsChoice:
    """Return the settings with the least held-out log loss among `VARIATIONS`.

    A variation has to be better than `training` (see `is_better`). The best variations of several groups are combined
    if the combination is better than the best one alone.

    Args:
        training: where to start; settings that differ from the defaults are the user's choice, and are kept.
        n_labels: number of labels of the user.
        hold_out: evaluates settings.
    """
    groups = [[varied for varied in group if _may_vary(varied, training)] for group in VARIATIONS]
    tried = [varied for group in groups for varied in group]
    before, trials = _race(training, tried, n_labels, hold_out)
    better = [trial for trial in trials if is_better(before.losses, trial.losses)]
    # At most one of each group, whose variations change the same settings.
    winners = [min(own, key=_mean_loss) for group in groups if (own := [one for one in better if one.varied in group])]
    if not winners:
        note = f"defaults kept: none of {len(tried)} variations had a surely lower held-out log loss"
        return SettingsChoice(training, (note,))
    best = min(winners, key=_mean_loss)
    if len(winners) > 1:
        # The best one comes last, so that its value is kept where two variations change the same setting.
        together = {
            key: value for trial in sorted(winners, key=_mean_loss, reverse=True) for key, value in trial.varied.items()
        }
        (result,) = hold_out([msgspec.structs.replace(training, **together)], ALL_FOLDS)
        best = min(best, _Trial(together, result, n_labels), key=_mean_loss)
    name = ", ".join(f"{name} {str(value).lower()}" for name, value in best.varied.items())
    note = f"{name}: held-out log loss {_mean_loss(best):.3f}, {_mean_loss(before):.3f} with defaults"
    return SettingsChoice(msgspec.structs.replace(training, **best.varied), (note,))


def _race(
    training: TrainingSection, tried: Sequence[Variation], n_labels: int, hold_out: HoldOutFunction
) -> tuple[_Trial, list[_Trial]]:
    """Return the trial of `training` itself, and of the variations of it that gained on the first folds."""
    # All at once, so that the fits of all of them share the cores.
    results = iter(hold_out([msgspec.structs.replace(training, **varied) for varied in ({}, *tried)], FIRST_FOLDS))
    base = next(results)
    bound = _mean_loss(_Trial({}, base, n_labels))
    # One after the other: the scores of all would take more memory than a fit.
    firsts = [
        (varied, result)
        for varied, result in zip(tried, results, strict=True)
        if _mean_loss(_Trial(varied, result, n_labels)) < bound
    ]
    running = [({}, base), *firsts]
    results = iter(hold_out([msgspec.structs.replace(training, **varied) for varied, _ in running], OTHER_FOLDS))
    before, *trials = (
        _Trial(varied, [*first, *other], n_labels) for (varied, first), other in zip(running, results, strict=True)
    )
    return before, trials


def bottleneck_choices(
    choice: BottleneckChoice, clips: Sequence[ClipVectors], labels: Sequence[str]
) -> list[BottleneckChoice]:
    """Return what to try: a fit without a bottleneck, one with it, or both."""
    if choice != "auto":
        return [choice]
    n_clips = sum(not clip.is_world for clip in clips)
    return ["never", "always"] if n_clips >= MIN_CLIPS_FOR_BOTTLENECK * len(labels) else ["never"]


def choose_bottleneck(
    candidates: Sequence[TrainingSection], tested: Sequence[HeldOutClips]
) -> tuple[TrainingSection, HeldOutClips, tuple[str, ...]]:
    """Return settings and held-out scores with the bottleneck where it lowers the held-out log loss, and a note.

    Args:
        candidates: settings without it, and perhaps with it; or those that are chosen already.
        tested: held-out scores of each.
    """
    if len(candidates) == 1:
        return candidates[0], tested[0], ()
    before, after = map(_clip_losses, tested)
    chosen = int(is_better(before, after))
    what = "a bottleneck" if chosen else "no bottleneck"
    note = f"{what}: held-out log loss {after.mean():.3f} with it, {before.mean():.3f} without"
    return candidates[chosen], tested[chosen], (note,)


class _Trial:
    """A variation, and the losses of held-out clips with it, each with those of its copies."""

    def __init__(self, varied: Variation, held_out: Sequence[HeldOutClip], n_labels: int) -> None:
        self.varied = varied
        self.losses = _clip_losses(HeldOutClips(held_out, n_labels))


def _mean_loss(trial: _Trial) -> float:
    return float(trial.losses.mean())


def _clip_losses(held_out: HeldOutClips) -> Float64Array:
    # Each with its own best scale, so that settings are compared as they will be used.
    return held_out.pooled(held_out.log_losses(best_scale(held_out.log_losses)))


def is_better(before: Float64Array, after: Float64Array) -> bool:
    """Return whether losses (n,) are lower than `before` by enough to change a setting."""
    gained, standard_error = gain(before, after)
    return gained > max(SEARCH_MIN_GAIN, SEARCH_MIN_STANDARD_ERRORS * standard_error)


def _may_vary(varied: Variation, training: TrainingSection) -> bool:
    """Return whether all settings that would vary have their default values, and the variation has any effect."""
    if any(getattr(training, name) != getattr(DEFAULTS, name) for name in varied):
        return False
    # A variation without effect would win or lose by nothing, and only cost time.
    has_copies = training.n_speed_copies + training.n_noise_copies > 0
    is_refined = training.covariance == "diag"
    return not ("copies" in varied and not has_copies) and not ("refinement" in varied and not is_refined)
