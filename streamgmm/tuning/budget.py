"""Allocation of a budget of alarms to labels, where each further alarm gains most.

Each label offers operating points, alarms per hour against utility. One point of each label is chosen so that the total
utility is highest and the alarms are within the budget: the multiple-choice knapsack problem. It is solved greedily
along the upper convex hulls of the points, with the steps of all labels in order of their gain per alarm (Sinha and
Zoltners, Operations Research 27, 1979). The result is at most one step of one label below the optimum.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple


class Point(NamedTuple):
    """One way to decide on a label.

    Attributes:
        rate_per_hour: expected alarms per hour.
        utility: value of the decision, in any unit that all labels share.
        n_alarms: observed alarms.
        i_curve: index of one of the curves of the label.
        i_level: index of the threshold on the curve.
    """

    rate_per_hour: float
    utility: float
    n_alarms: int
    i_curve: int
    i_level: int


class Step(NamedTuple):
    """A step from one point of the hull of a label to the next: more utility for more alarms."""

    i_label: int
    point: Point
    gain_per_alarm: float


def spend(offers: Sequence[Sequence[Point]], rate_per_hour: float, max_alarms: int) -> list[Point] | None:
    """Return the point of each label; None if even the strictest ones together exceed the budget.

    Args:
        offers: points of each label, at least one.
        rate_per_hour: limit of expected alarms per hour of all labels together.
        max_alarms: limit of observed alarms of all labels together.
    """
    hulls = [upper_hull(points) for points in offers]
    # The point of the least expected rate of each label.
    chosen = [hull[0] for hull in hulls]
    if not _is_within(chosen, rate_per_hour, max_alarms):
        return None
    is_stopped = [False] * len(chosen)
    for i_label, point, _ in _steps(hulls):
        # Later steps of this label begin where the one that did not fit would have ended.
        if is_stopped[i_label]:
            continue
        tried = _with(chosen, i_label, point)
        if _is_within(tried, rate_per_hour, max_alarms):
            chosen = tried
        else:
            is_stopped[i_label] = True
    return _fill(chosen, offers, rate_per_hour, max_alarms)


def _fill(chosen: list[Point], offers: Sequence[Sequence[Point]], rate_per_hour: float, max_alarms: int) -> list[Point]:
    """Spend the rest of the budget, too small for a step of a hull, on the best point that fits, repeatedly."""
    while True:
        candidates = [
            Step(i_label, point, _gain(chosen[i_label], point))
            for i_label, points in enumerate(offers)
            for point in points
            if point.utility > chosen[i_label].utility
            and _is_within(_with(chosen, i_label, point), rate_per_hour, max_alarms)
        ]
        if not candidates:
            return chosen
        best = max(candidates, key=lambda step: step.gain_per_alarm)
        chosen = _with(chosen, best.i_label, best.point)


def upper_hull(points: Sequence[Point]) -> list[Point]:
    """Return the upper convex hull of utility over alarms, the fewest alarms first, with ever smaller gains."""
    hull: list[Point] = []
    for point in sorted(points, key=lambda point: (point.rate_per_hour, -point.utility)):
        if hull and point.utility <= hull[-1].utility:
            continue
        # The last point lies on or below the line from the one before it to the new one (Andrew's monotone chain).
        while len(hull) > 1 and _gain(hull[-1], point) >= _gain(hull[-2], hull[-1]):
            hull.pop()
        hull.append(point)
    return hull


def _steps(hulls: Sequence[Sequence[Point]]) -> list[Step]:
    """Return the steps of all labels by falling gain per alarm; those of one label stay in order."""
    # A stable sort: the gains of one label fall along its concave hull.
    steps = [
        Step(i_label, after, _gain(before, after))
        for i_label, hull in enumerate(hulls)
        for before, after in pairwise(hull)
    ]
    return sorted(steps, key=lambda step: -step.gain_per_alarm)


def _gain(before: Point, after: Point) -> float:
    n_more = after.rate_per_hour - before.rate_per_hour
    return (after.utility - before.utility) / n_more if n_more > 0.0 else math.inf


def _with(chosen: Sequence[Point], i_label: int, point: Point) -> list[Point]:
    return [*chosen[:i_label], point, *chosen[i_label + 1 :]]


def _is_within(chosen: Sequence[Point], rate_per_hour: float, max_alarms: int) -> bool:
    is_expected_within = sum(point.rate_per_hour for point in chosen) <= rate_per_hour
    return is_expected_within and sum(point.n_alarms for point in chosen) <= max_alarms
