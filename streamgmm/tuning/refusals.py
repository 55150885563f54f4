"""Refuse tunings that cannot keep their budget, or that leave hardly a sound to be found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from streamgmm.arrays import Float64Array
from streamgmm.errors import DataError
from streamgmm.training.selection.thresholds import DEAF_RECALL
from streamgmm.tuning.alarm_rates import max_proven_alarms
from streamgmm.tuning.budget import Point
from streamgmm.tuning.choice import MAX_BUDGET_PER_HOUR, offers_of, recalls_at, smallest_budget
from streamgmm.tuning.operating_points import Curve, Levels
from streamgmm.tuning.result import LabelTuning, Tuning
from streamgmm.tuning.summary import value_at
from streamgmm.wording import escaped

N_NAMED = 3
"""Number of labels that are named if the budget cannot be met."""

LEAST_RECALL = 0.1
"""Share of the present recall that has to be left: with less, a model is as good as deaf."""

WORTH_RECALL = 0.5
"""Share of the present recall that a budget has to leave to be proposed."""


class BudgetError(DataError):
    """No available decision keeps the alarms within the budget."""


def deafened(curves: Sequence[Sequence[Curve]], levels: Levels, points: Sequence[Point] | None) -> dict[str, float]:
    """Return the recall left of each label that is found now, and of which hardly a sound would be."""
    recalls = {}
    for i_label, own in enumerate(curves):
        before = value_at(own[0].recalls, levels.index_before(own[0].label)) or 0.0
        left = points and value_at(own[points[i_label].i_curve].recalls, points[i_label].i_level)
        if (left or 0.0) < DEAF_RECALL <= before:
            recalls[own[0].label] = left or 0.0
    return recalls


def check_reached(
    tuning: Tuning, curves: Sequence[Sequence[Curve]], levels: Levels, hours: Float64Array, budget_per_hour: float
) -> None:
    """Reject thresholds that hardly a sound reaches, and name the smallest budget that would be worth it.

    Raises:
        BudgetError: nearly nothing would be found any more, of all labels together or of one.
    """
    others = "or record more of the sounds, or more hours of background, in which none of them may occur"
    if tuning.recall_before and (tuning.recall or 0.0) < LEAST_RECALL * tuning.recall_before:
        what = f"within {budget_per_hour:g} per hour, {tuning.recall:.0%} of the sounds would be found, now "
        best = _best(curves, levels, hours, budget_per_hour, _keeps_mean(curves, levels))
        raise BudgetError(f"{what}{tuning.recall_before:.0%}", hint=f"{best}; {others}")
    lost = [label for label, one in tuning.labels.items() if _is_lost(one)]
    if lost:
        what = f"within {budget_per_hour:g} per hour, hardly a sound of {_named(lost)} would be found any more"
        best = _best(curves, levels, hours, budget_per_hour, partial(_keeps_all, lost))
        raise BudgetError(what, hint=f"{best}; {others}; or go without: --force")


def _is_lost(label: LabelTuning) -> bool:
    before = label.recall_before or 0.0
    return before >= DEAF_RECALL and label.recall is not None and label.recall < LEAST_RECALL * before


def _keeps_all(labels: Sequence[str], recalls: Mapping[str, float]) -> bool:
    return all(recalls[label] >= DEAF_RECALL for label in labels)


def _keeps_mean(curves: Sequence[Sequence[Curve]], levels: Levels) -> Callable[[Mapping[str, float]], bool]:
    known = [own[0].recalls[levels.index_before(own[0].label)] for own in curves if own[0].recalls is not None]
    least = WORTH_RECALL * float(np.mean(known)) if known else 0.0
    return lambda recalls: not recalls or float(np.mean(list(recalls.values()))) >= least


def budget_error(
    curves: Sequence[Sequence[Curve]], levels: Levels, hours: Float64Array, budget_per_hour: float
) -> BudgetError:
    """Return an error that names the labels with the most alarms at the strictest threshold, and a budget to ask for.

    The alarms are the observed ones, or those that are expected. The budget is the smallest that can be kept.
    """
    labels, total_hours = [own[0].label for own in curves], float(hours.sum())
    offers = offers_of(curves, levels, np.ones(len(hours), dtype=bool), hours)
    rates = [min(point.rate_per_hour for point in points) for points in offers]
    counts = [min(point.n_alarms for point in points) for points in offers]
    asked = f"no threshold keeps false alarms within {budget_per_hour:g} per hour"
    if sum(rates) > budget_per_hour:
        left = f"{sum(rates):.2g} ({_blamed(rates, labels)})"
        what = f"{asked}: with {total_hours:.2f} hours of background, even the strictest leaves {left}"
    else:
        # The expected rates are within the budget, so the observed alarms are too many.
        most = max_proven_alarms(budget_per_hour, total_hours) or 0
        left = f"{sum(counts)} ({_blamed(counts, labels)})"
        what = (
            f"{asked}: in {total_hours:.2f} hours of background at most {most} may remain, the strictest leaves {left}"
        )
    best = _best(curves, levels, hours, budget_per_hour, _keeps_mean(curves, levels))
    return BudgetError(what, hint=f"{best}; or remove recordings with these sounds, or add more hours")


def _best(
    curves: Sequence[Sequence[Curve]],
    levels: Levels,
    hours: Float64Array,
    budget_per_hour: float,
    is_worthwhile: Callable[[Mapping[str, float]], bool],
) -> str:
    """Name the smallest budget that is worthwhile, and the labels of which it keeps most."""
    found = smallest_budget(curves, levels, hours, budget_per_hour, is_worthwhile)
    if found is None:
        is_known = any(own[0].recalls is not None for own in curves)
        kept = "would keep enough of the recall" if is_known else "can be kept"
        return f"no budget up to {MAX_BUDGET_PER_HOUR:g} an hour {kept}"
    smallest, points = found
    recalls = {label: recall for label, recall in recalls_at(curves, points).items() if recall}
    if not recalls:
        return f"a budget of {smallest:g} an hour is the smallest that can be kept"
    best = sorted(recalls, key=lambda label: -recalls[label])[:N_NAMED]
    left = ", ".join(f"'{escaped(label)}' a recall of {recalls[label]:.0%}" for label in best)
    return f"a budget of {smallest:g} an hour is the smallest that leaves {left}"


def _named(labels: Sequence[str]) -> str:
    named = ", ".join(f"'{escaped(label)}'" for label in labels[:N_NAMED])
    return named + (f" and {len(labels) - N_NAMED} others" if len(labels) > N_NAMED else "")


def _blamed(numbers: Sequence[float], labels: Sequence[str]) -> str:
    worst = sorted(zip(numbers, labels, strict=True), reverse=True)[:N_NAMED]
    return ", ".join(f"'{escaped(label)}' {number:.2g}" for number, label in worst if number)
