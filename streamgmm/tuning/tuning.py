"""Tuning of a model: decisions that keep false alarms within a budget on recordings of the background."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import msgspec
import numpy as np

from streamgmm import units
from streamgmm.arrays import BoolArray, Float64Array
from streamgmm.errors import DataError
from streamgmm.listening.tracks import ScoredRecording
from streamgmm.model.model import Model
from streamgmm.model.room_card import room_card
from streamgmm.settings.config import Config
from streamgmm.settings.decision import LabelSection
from streamgmm.training.selection.thresholds import DEAF_RECALL
from streamgmm.training.workers import ProgressTracker, untracked
from streamgmm.tuning.alarm_rates import CONFIDENCE, expected_rates, max_proven_alarms, upper_rate_per_hour
from streamgmm.tuning.budget import Point, spend
from streamgmm.tuning.operating_points import (
    Curve,
    Levels,
    Material,
    make_levels,
    measure_curves,
    section_at,
    total_alarms,
)
from streamgmm.tuning.result import HeldOutAlarms, LabelTuning, Sweep, Tuning
from streamgmm.tuning.taught_sounds import find_taught_sounds, taught_sound_error
from streamgmm.wording import escaped

N_HELD_OUT_PARTS = 10
"""Recordings are held out one by one, or in this many parts if there are more."""

N_BLAMED = 3
"""Number of labels that are named if the budget cannot be met."""

UTILITY_PER_LEVEL = 1e-3
"""Utility, in recall, of a threshold lower by one unit of logit: of two with equal recall, the lower one is chosen."""

UTILITY_OF_DURATION = 1e-2
"""Utility, in recall, of keeping the minimum duration of the settings: a longer one delays every report."""

LEAST_RECALL = 0.1
"""Share of the present recall that has to be left: with less, a model is as good as deaf."""

SWEEP = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
"""Budgets of the curve of other budgets, as multiples of the requested one."""


class Tuned(NamedTuple):
    """A tuned model, its report, and the curves that its decisions were chosen from."""

    model: Model
    tuning: Tuning
    curves: list[list[Curve]]
    levels: Levels


class _Events(NamedTuple):
    """Number of true events of each label; those of `is_by_copies` are copies of the training clips in context."""

    n_of_label: Counter[str]
    is_by_copies: bool


class BudgetError(DataError):
    """No available decision keeps the alarms within the budget."""


def tune(
    material: Material,
    model: Model,
    config: Config,
    *,
    budget_per_hour: float,
    accepts_events: bool = False,
    track: ProgressTracker = untracked,
) -> Tuned:
    """Return the model with decisions that keep its alarms on the background within a budget.

    If the background is long enough to prove the budget, as many alarms remain as still prove it. Otherwise none
    remains, and thresholds lie as far above the alarms as the fitted tail requires for the budget.

    Args:
        material: scored recordings, some of them of the background.
        model: what to tune; its decisions are replaced.
        config: the other decisions; runs should have the same.
        budget_per_hour: limit of false alarms per hour of all labels together, positive.
        accepts_events: whether the background may hold sounds of the labels, which then count as false alarms.
        track: shows the progress.

    Raises:
        ConfigError: the settings have thresholds of single labels.
        TaughtSoundError: the background seems to hold the sound of a label, and would make the model deaf to it.
        BudgetError: the budget cannot be met.
    """
    levels = make_levels(config, model)
    check_background(material.backgrounds)
    curves = measure_curves(material, model, config, levels, track)
    hours = np.array([_hours_of_samples(recording.end_sample, model) for recording in material.backgrounds])
    is_used = np.ones(len(hours), dtype=bool)
    points = _choose(curves, levels, is_used, hours, budget_per_hour)
    if not accepts_events:
        deafened = _deafened(curves, levels, points)
        sounds = [one for one in find_taught_sounds(material.backgrounds, model, config) if one.label in deafened]
        if sounds:
            raise taught_sound_error(sounds, deafened)
    if points is None:
        labels = [own[0].label for own in curves]
        raise _budget_error(_offers(curves, levels, is_used, hours), labels, float(hours.sum()), budget_per_hour)
    tuning = _summarise(curves, levels, points, hours, _events(material, model), budget_per_hour)
    _check_reached(tuning, budget_per_hour)
    decision: dict[str, LabelSection] = {}
    for own, point in zip(curves, points, strict=True):
        section = section_at(own[point.i_curve], point.i_level, levels)
        # Labels for which the settings already decide so get no section, and follow later changes of the settings.
        if section is not None:
            decision[own[0].label] = section
    card = {**model.card, "tuning": _card(tuning, config)}
    # Without a hash, which belongs to the file that is not written yet.
    return Tuned(replace(model, decision=decision, card=card, sha256=""), tuning, curves, levels)


def _events(material: Material, model: Model) -> _Events:
    room = room_card(model.card)
    if material.events or room is None:
        return _Events(Counter(truth.label for _, truths in material.events for truth in truths), False)
    return _Events(Counter({label: len(peaks) for label, peaks in room.peaks.items()}), True)


def _deafened(curves: Sequence[Sequence[Curve]], levels: Levels, points: Sequence[Point] | None) -> dict[str, float]:
    """Return the recall left of each label that is found now, and of which hardly a sound would be."""
    recalls = {}
    for i_label, own in enumerate(curves):
        before = _value_at(own[0].recalls, levels.index_before(own[0].label)) or 0.0
        left = points and _value_at(own[points[i_label].i_curve].recalls, points[i_label].i_level)
        if (left or 0.0) < DEAF_RECALL <= before:
            recalls[own[0].label] = left or 0.0
    return recalls


def _check_reached(tuning: Tuning, budget_per_hour: float) -> None:
    """Reject thresholds that hardly a sound reaches, and name a budget that would be worth it.

    Raises:
        BudgetError: nearly nothing would be found any more.
    """
    if not tuning.recall_before or tuning.recall is None or tuning.recall >= LEAST_RECALL * tuning.recall_before:
        return
    worth = [step for step in tuning.sweep if step.recall and step.recall >= 0.5 * tuning.recall_before]
    hint = "record more of the sounds, or more hours of background"
    if worth:
        first = worth[0]
        hint = f"{first.budget_per_hour:g} per hour would keep {first.recall:.0%}, or {hint}"
    what = f"within {budget_per_hour:g} per hour, {tuning.recall:.0%} of the sounds would be found, now "
    raise BudgetError(f"{what}{tuning.recall_before:.0%}", hint=hint)


def check_background(backgrounds: Sequence[ScoredRecording]) -> None:
    """Reject a background without any sound.

    Raises:
        DataError: it is empty, or silent throughout.
    """
    if not any(recording.end_sample > recording.silent_samples for recording in backgrounds):
        raise DataError("the background is silent throughout", hint="record at the place and level of later runs")


def _hours_of_samples(n_samples: int, model: Model) -> float:
    return units.samples_to_seconds(n_samples, model.spec.sample_rate_hz) / 3600.0


def _choose(
    curves: Sequence[Sequence[Curve]],
    levels: Levels,
    is_used: BoolArray,
    hours: Float64Array,
    budget_per_hour: float,
) -> list[Point] | None:
    """Return a point for each label from the recordings that are used; None if the budget cannot be met."""
    max_alarms = max_proven_alarms(budget_per_hour, float(hours[is_used].sum()))
    # Where not even the absence of alarms proves the budget, no alarm is allowed.
    return spend(_offers(curves, levels, is_used, hours), budget_per_hour, max_alarms or 0)


def _offers(
    curves: Sequence[Sequence[Curve]], levels: Levels, is_used: BoolArray, hours: Float64Array
) -> list[list[Point]]:
    """Return all points of each label from the recordings that are used."""
    offers: list[list[Point]] = [[] for _ in curves]
    # One minimum duration of all labels at a time, as their rates are pooled.
    for i_curve, of_one_duration in enumerate(zip(*curves, strict=True)):
        n_alarms = np.array([curve.n_alarms[is_used].sum(axis=0) for curve in of_one_duration])
        rates = expected_rates(levels.logits, n_alarms, float(hours[is_used].sum()))
        for offer, curve, row, counts in zip(offers, of_one_duration, rates, n_alarms, strict=True):
            utilities = _utilities(curve, levels)
            offer += [
                Point(float(row[i]), utilities[i], int(counts[i]), i_curve, i)
                for i in range(levels.i_first, len(levels.thresholds))
            ]
    return offers


def _utilities(curve: Curve, levels: Levels) -> list[float]:
    """Return the utility of each level: its recall, then its closeness to the settings."""
    # In nats above the threshold of the settings, shape (n_levels,); negative below it, where no point is offered.
    departure = levels.logits - levels.logits[levels.i_first]
    recalls = 0.0 if curve.recalls is None else curve.recalls
    utilities: list[float] = (
        recalls - UTILITY_PER_LEVEL * departure - (UTILITY_OF_DURATION if curve.min_duration_s is not None else 0.0)
    ).tolist()
    return utilities


def _budget_error(
    offers: Sequence[Sequence[Point]], labels: Sequence[str], hours: float, budget_per_hour: float
) -> BudgetError:
    """Return an error that names the labels with the most alarms, observed or expected, at the strictest threshold."""
    rates = [min(point.rate_per_hour for point in points) for points in offers]
    counts = [min(point.n_alarms for point in points) for points in offers]
    asked = f"no threshold keeps false alarms within {budget_per_hour:g} per hour"
    if sum(rates) > budget_per_hour:
        left = f"{sum(rates):.2g} ({_blamed(rates, labels)})"
        what = f"{asked}: with {hours:.2f} hours of background, even the strictest leaves {left}"
    else:
        # The expected rates are within the budget, so the observed alarms are too many.
        most = max_proven_alarms(budget_per_hour, hours) or 0
        left = f"{sum(counts)} ({_blamed(counts, labels)})"
        what = f"{asked}: in {hours:.2f} hours of background at most {most} may remain, the strictest leaves {left}"
    return BudgetError(what, hint="remove recordings with these sounds, add more hours, or allow more alarms")


def _blamed(numbers: Sequence[float], labels: Sequence[str]) -> str:
    worst = sorted(zip(numbers, labels, strict=True), reverse=True)[:N_BLAMED]
    return ", ".join(f"'{escaped(label)}' {number:.2g}" for number, label in worst if number)


def _held_out(
    curves: Sequence[Sequence[Curve]], levels: Levels, hours: Float64Array, budget_per_hour: float
) -> HeldOutAlarms | None:
    """Count the alarms on each part with decisions tuned on the others, or else the strictest."""
    if len(hours) < 2:
        return None
    parts = np.arange(len(hours)) % N_HELD_OUT_PARTS
    n_alarms = 0
    for part in np.unique(parts):
        is_held_out = parts == part
        points = _choose(curves, levels, ~is_held_out, hours, budget_per_hour)
        for i_label, own in enumerate(curves):
            # The strictest threshold with the minimum duration of the settings.
            i_curve, i_level = (0, -1) if points is None else (points[i_label].i_curve, points[i_label].i_level)
            n_alarms += int(own[i_curve].n_alarms[is_held_out, i_level].sum())
    total_hours = float(hours.sum())
    return HeldOutAlarms(
        n_alarms=n_alarms, hours=total_hours, upper_per_hour=upper_rate_per_hour(n_alarms, total_hours)
    )


def _summarise(
    curves: Sequence[Sequence[Curve]],
    levels: Levels,
    points: Sequence[Point],
    hours: Float64Array,
    events: _Events,
    budget_per_hour: float,
) -> Tuning:
    n_events = events.n_of_label
    labels = {
        own[0].label: _label_tuning(own, point, levels, n_events[own[0].label])
        for own, point in zip(curves, points, strict=True)
    }
    n_alarms, total_hours = sum(label.n_alarms for label in labels.values()), float(hours.sum())
    upper_per_hour = upper_rate_per_hour(n_alarms, total_hours)
    return Tuning(
        budget_per_hour=budget_per_hour,
        hours=total_hours,
        n_recordings=len(hours),
        n_alarms_before=sum(label.n_alarms_before for label in labels.values()),
        n_alarms=n_alarms,
        upper_per_hour=upper_per_hour,
        confidence=CONFIDENCE,
        is_proven=upper_per_hour <= budget_per_hour,
        expected_per_hour=sum(point.rate_per_hour for point in points),
        recall_before=_mean_of_known([label.recall_before for label in labels.values()]),
        recall=_mean_of_known([label.recall for label in labels.values()]),
        n_events=sum(n_events[label] for label in labels),
        is_by_copies=events.is_by_copies,
        held_out=_held_out(curves, levels, hours, budget_per_hour),
        labels=labels,
        sweep=_sweep(curves, levels, hours, budget_per_hour),
    )


def _label_tuning(own: Sequence[Curve], point: Point, levels: Levels, n_events: int) -> LabelTuning:
    # The first curve has the minimum duration of the settings.
    before, after, i_before = own[0], own[point.i_curve], levels.index_before(own[0].label)
    return LabelTuning(
        onset_threshold=levels.thresholds[point.i_level],
        min_duration_s=after.min_duration_s,
        is_changed=section_at(after, point.i_level, levels) is not None,
        n_alarms_before=int(total_alarms(before)[i_before]),
        n_alarms=point.n_alarms,
        expected_per_hour=point.rate_per_hour,
        recall_before=_value_at(before.recalls, i_before),
        recall=_value_at(after.recalls, point.i_level),
        n_events=n_events,
        latency_before_s=_value_at(before.latencies_s, i_before),
        latency_s=_value_at(after.latencies_s, point.i_level),
    )


def _value_at(values: Float64Array | None, index: int) -> float | None:
    """Return the value at `index`; None if it is not known."""
    return None if values is None or math.isnan(values[index]) else float(values[index])


def _mean_of_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _sweep(
    curves: Sequence[Sequence[Curve]], levels: Levels, hours: Float64Array, budget_per_hour: float
) -> list[Sweep]:
    sweep = []
    for factor in SWEEP:
        points = _choose(curves, levels, np.ones(len(hours), dtype=bool), hours, factor * budget_per_hour)
        if points is None:
            continue
        recalls = [_value_at(own[p.i_curve].recalls, p.i_level) for own, p in zip(curves, points, strict=True)]
        expected_per_hour = sum(point.rate_per_hour for point in points)
        sweep.append(
            Sweep(
                budget_per_hour=factor * budget_per_hour,
                expected_per_hour=expected_per_hour,
                recall=_mean_of_known(recalls),
            )
        )
    return sweep


def _card(tuning: Tuning, config: Config) -> dict[str, Any]:
    """Return the part of the report that the model keeps, without file names and dates, so that it is reproducible."""
    kept = ("budget_per_hour", "hours", "n_recordings", "n_alarms_before", "n_alarms", "upper_per_hour", "confidence")
    scores = ("expected_per_hour", "recall", "n_events")
    section = msgspec.to_builtins(config.decision)
    del section["labels"]
    return {**{name: getattr(tuning, name) for name in (*kept, *scores)}, "decision": section}
