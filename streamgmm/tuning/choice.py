"""Choose an operating point of each label within a budget of false alarms."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from streamgmm.arrays import BoolArray, Float64Array
from streamgmm.training.selection.thresholds import budgets_above
from streamgmm.tuning.alarm_rates import expected_rates, max_proven_alarms
from streamgmm.tuning.budget import Point, spend
from streamgmm.tuning.operating_points import Curve, Levels

MAX_BUDGET_PER_HOUR = 3600.0
"""Largest budget (1/h)."""

UTILITY_PER_LEVEL = 1e-3
"""Utility, in recall, of a threshold lower by one unit of logit: of two with equal recall, the lower one is chosen."""

UTILITY_OF_DURATION = 1e-2
"""Utility, in recall, of keeping the minimum duration of the settings: a longer one delays every report."""


def choose(
    curves: Sequence[Sequence[Curve]],
    levels: Levels,
    is_used: BoolArray,
    hours: Float64Array,
    budget_per_hour: float,
) -> list[Point] | None:
    """Return a point for each label from the recordings that are used; None if the budget cannot be met."""
    max_alarms = max_proven_alarms(budget_per_hour, float(hours[is_used].sum()))
    # Where not even the absence of alarms proves the budget, no alarm is allowed.
    return spend(offers_of(curves, levels, is_used, hours), budget_per_hour, max_alarms or 0)


def smallest_budget(
    curves: Sequence[Sequence[Curve]],
    levels: Levels,
    hours: Float64Array,
    above_per_hour: float,
    is_worthwhile: Callable[[Mapping[str, float]], bool],
) -> tuple[float, list[Point]] | None:
    """Return the smallest budget of two digits that can be kept and is worth it, and its points; None if there is none.

    Args:
        curves: of each label.
        levels: the thresholds to try.
        hours: float64, shape (n_recordings,), lengths of the recordings of the background.
        above_per_hour: a budget that is too small (1/h).
        is_worthwhile: judges the recalls of the labels whose recall is known; True for all above one that is.
    """
    total_hours = float(hours.sum())
    offers = offers_of(curves, levels, np.ones(len(hours), dtype=bool), hours)

    def points_of(budget_per_hour: float) -> list[Point] | None:
        return spend(offers, budget_per_hour, max_proven_alarms(budget_per_hour, total_hours) or 0)

    def is_enough(budget_per_hour: float) -> bool:
        points = points_of(budget_per_hour)
        return points is not None and is_worthwhile(recalls_at(curves, points))

    budgets = budgets_above(above_per_hour, MAX_BUDGET_PER_HOUR)
    i_first = bisect_left(budgets, True, key=is_enough)
    points = points_of(budgets[i_first]) if i_first < len(budgets) else None
    return None if points is None else (budgets[i_first], points)


def recalls_at(curves: Sequence[Sequence[Curve]], points: Sequence[Point]) -> dict[str, float]:
    """Return the recall of each label whose recall is known."""
    chosen = [(own[point.i_curve], point.i_level) for own, point in zip(curves, points, strict=True)]
    return {curve.label: float(curve.recalls[i_level]) for curve, i_level in chosen if curve.recalls is not None}


def offers_of(
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
