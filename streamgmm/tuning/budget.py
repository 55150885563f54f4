"""How a budget of alarms is spent on labels: where an alarm more buys most.

Each label offers points, alarms per hour against worth; one of each is taken so that the worth is highest
and the alarms are within the budget: the multiple-choice knapsack problem. It is solved along the upper convex
hulls of the points, the steps of all labels in order of their gain per alarm (Sinha and Zoltners, Operations
Research 27, 1979): at most one label's step short of the best.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple


class Point(NamedTuple):
    """One way to decide on a label.

    Attributes:
        rate_per_hour: alarms to be expected.
        worth: how good it is, in any unit that all labels share.
        n_alarms: alarms that were counted.
        i_curve: which of the label's curves.
        i_level: where on it.
    """

    rate_per_hour: float
    worth: float
    n_alarms: int
    i_curve: int
    i_level: int


class Step(NamedTuple):
    """From one point of a label's hull to the next: more worth for more alarms."""

    i_label: int
    point: Point
    gain_per_alarm: float


def spend(offers: Sequence[Sequence[Point]], rate_per_hour: float, max_alarms: int) -> list[Point] | None:
    """The point of each label; None if even the strictest ones together are over the budget.

    Args:
        offers: points of each label, at least one.
        rate_per_hour: most alarms per hour to be expected of all labels together.
        max_alarms: most alarms counted of all labels together.
    """
    hulls = [upper_hull(points) for points in offers]
    chosen = [hull[0] for hull in hulls]
    if not _is_within(chosen, rate_per_hour, max_alarms):
        return None
    is_stopped = [False] * len(chosen)
    for i_label, point, _ in _steps(hulls):
        if is_stopped[i_label]:
            continue
        tried = _with(chosen, i_label, point)
        if _is_within(tried, rate_per_hour, max_alarms):
            chosen = tried
        else:
            is_stopped[i_label] = True
    return _fill(chosen, offers, rate_per_hour, max_alarms)


def _fill(chosen: list[Point], offers: Sequence[Sequence[Point]], rate_per_hour: float, max_alarms: int) -> list[Point]:
    """Spend what no whole step of a hull fitted into: on the best bargain that does fit, again and again."""
    while True:
        bargains = [
            Step(i_label, point, _gain(chosen[i_label], point))
            for i_label, points in enumerate(offers)
            for point in points
            if point.worth > chosen[i_label].worth
            and _is_within(_with(chosen, i_label, point), rate_per_hour, max_alarms)
        ]
        if not bargains:
            return chosen
        best = max(bargains, key=lambda step: step.gain_per_alarm)
        chosen = _with(chosen, best.i_label, best.point)


def upper_hull(points: Sequence[Point]) -> list[Point]:
    """Those of `points` that are worth most for their alarms, with ever smaller gains, the fewest alarms first."""
    hull: list[Point] = []
    for point in sorted(points, key=lambda point: (point.rate_per_hour, -point.worth)):
        if hull and point.worth <= hull[-1].worth:
            continue
        while len(hull) > 1 and _gain(hull[-1], point) >= _gain(hull[-2], hull[-1]):
            hull.pop()
        hull.append(point)
    return hull


def _steps(hulls: Sequence[Sequence[Point]]) -> list[Step]:
    """All steps of all labels, the best bargain first; those of one label stay in order, its hull being concave."""
    steps = [
        Step(i_label, after, _gain(before, after))
        for i_label, hull in enumerate(hulls)
        for before, after in pairwise(hull)
    ]
    return sorted(steps, key=lambda step: -step.gain_per_alarm)


def _gain(before: Point, after: Point) -> float:
    n_more = after.rate_per_hour - before.rate_per_hour
    return (after.worth - before.worth) / n_more if n_more > 0.0 else math.inf


def _with(chosen: Sequence[Point], i_label: int, point: Point) -> list[Point]:
    return [*chosen[:i_label], point, *chosen[i_label + 1 :]]


def _is_within(chosen: Sequence[Point], rate_per_hour: float, max_alarms: int) -> bool:
    is_expected_within = sum(point.rate_per_hour for point in chosen) <= rate_per_hour
    return is_expected_within and sum(point.n_alarms for point in chosen) <= max_alarms
