"""Refuse tunings that cannot keep their budget, or that leave hardly a sound to be found."""

from __future__ import annotations

from collections.abc import Sequence

from streamgmm.errors import DataError
from streamgmm.training.selection.thresholds import DEAF_RECALL
from streamgmm.tuning.alarm_rates import max_proven_alarms
from streamgmm.tuning.budget import Point
from streamgmm.tuning.operating_points import Curve, Levels
from streamgmm.tuning.result import Tuning
from streamgmm.tuning.summary import value_at
from streamgmm.wording import escaped

N_BLAMED = 3
"""Number of labels that are named if the budget cannot be met."""

LEAST_RECALL = 0.1
"""Share of the present recall that has to be left: with less, a model is as good as deaf."""


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


def check_reached(tuning: Tuning, budget_per_hour: float) -> None:
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


def budget_error(
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
