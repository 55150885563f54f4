"""Summarise a tuning: what its decisions cost, what they keep, and what other budgets would."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from streamgmm.arrays import Float64Array
from streamgmm.tuning.alarm_rates import CONFIDENCE, upper_rate_per_hour
from streamgmm.tuning.budget import Point
from streamgmm.tuning.choice import choose
from streamgmm.tuning.operating_points import Curve, Levels, section_at, total_alarms
from streamgmm.tuning.result import HeldOutAlarms, LabelTuning, Sweep, Tuning

N_HELD_OUT_PARTS = 10
"""Recordings are held out one by one, or in this many parts if there are more."""

SWEEP = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
"""Budgets of the curve of other budgets, as multiples of the requested one."""


class Events(NamedTuple):
    """Number of true events of each label; those of `is_by_copies` are copies of the training clips in context."""

    n_of_label: Counter[str]
    is_by_copies: bool


def summarise(
    curves: Sequence[Sequence[Curve]],
    levels: Levels,
    points: Sequence[Point],
    hours: Float64Array,
    events: Events,
    budget_per_hour: float,
) -> Tuning:
    """Return the report of a tuning.

    Args:
        curves: of each label, one per minimum duration.
        levels: the thresholds that were tried.
        points: what was chosen for each label.
        hours: float64, shape (n_recordings,), lengths of the recordings of the background.
        events: true events.
        budget_per_hour: the requested limit.
    """
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
        recall_before=value_at(before.recalls, i_before),
        recall=value_at(after.recalls, point.i_level),
        n_events=n_events,
        latency_before_s=value_at(before.latencies_s, i_before),
        latency_s=value_at(after.latencies_s, point.i_level),
    )


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
        points = choose(curves, levels, ~is_held_out, hours, budget_per_hour)
        for i_label, own in enumerate(curves):
            # The strictest threshold with the minimum duration of the settings.
            i_curve, i_level = (0, -1) if points is None else (points[i_label].i_curve, points[i_label].i_level)
            n_alarms += int(own[i_curve].n_alarms[is_held_out, i_level].sum())
    total_hours = float(hours.sum())
    return HeldOutAlarms(
        n_alarms=n_alarms, hours=total_hours, upper_per_hour=upper_rate_per_hour(n_alarms, total_hours)
    )


def _sweep(
    curves: Sequence[Sequence[Curve]], levels: Levels, hours: Float64Array, budget_per_hour: float
) -> list[Sweep]:
    sweep = []
    for factor in SWEEP:
        points = choose(curves, levels, np.ones(len(hours), dtype=bool), hours, factor * budget_per_hour)
        if points is None:
            continue
        recalls = [value_at(own[p.i_curve].recalls, p.i_level) for own, p in zip(curves, points, strict=True)]
        expected_per_hour = sum(point.rate_per_hour for point in points)
        sweep.append(
            Sweep(
                budget_per_hour=factor * budget_per_hour,
                expected_per_hour=expected_per_hour,
                recall=_mean_of_known(recalls),
            )
        )
    return sweep


def value_at(values: Float64Array | None, index: int) -> float | None:
    """Return the value at `index`; None if it is not known."""
    return None if values is None or math.isnan(values[index]) else float(values[index])


def _mean_of_known(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None
