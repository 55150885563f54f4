"""The picture of a tuning: recall over false alarms, and the alarms of each label over its threshold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from streamgmm.report.figure import new_figure, save_figure, spaced
from streamgmm.report.matplotlib_defaults import default_settings
from streamgmm.report.palette import LABEL_COLOURS, MISTAKE
from streamgmm.tuning.alarm_rates import expected_rates
from streamgmm.tuning.operating_points import Curve, Levels, total_alarms
from streamgmm.tuning.result import Tuning

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH_INCHES, HEIGHT_INCHES, DOTS_PER_INCH = 14, 6, 100
LOWEST_RATE_PER_HOUR = 1e-3


@default_settings()
def draw_tuning(path: Path, tuning: Tuning, curves: Sequence[Sequence[Curve]], levels: Levels) -> None:
    """Draw recall against false alarms, and the alarms of each label against its threshold.

    Raises:
        UsageError: matplotlib is not installed.
        OutputError: the file cannot be written.
    """
    figure = new_figure(WIDTH_INCHES, HEIGHT_INCHES, dpi=DOTS_PER_INCH, layout="constrained")
    if tuning.recall is None:
        alarms = figure.subplots()
    else:
        recall, alarms = figure.subplots(1, 2)
        _draw_recall(recall, tuning, tuning.recall)
    _draw_alarms(alarms, tuning, curves, levels)
    save_figure(figure, path)


def _draw_recall(axes: Axes, tuning: Tuning, reached: float) -> None:
    rates = [step.expected_per_hour for step in tuning.sweep]
    axes.semilogx(
        rates, [step.recall or 0.0 for step in tuning.sweep], "o-", color=LABEL_COLOURS[0], label="other budgets"
    )
    axes.plot(tuning.expected_per_hour, reached, "D", color=MISTAKE, markersize=10, label="this tuning")
    axes.set(xlabel="expected false alarms per hour", ylabel="recall, mean over labels", ylim=(0.0, 1.02))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")


def _draw_alarms(axes: Axes, tuning: Tuning, curves: Sequence[Sequence[Curve]], levels: Levels) -> None:
    """Draw each label with the minimum duration of the settings: observed rates as dots, expected rates as a line."""
    plain = [own[0] for own in curves]
    n_alarms = np.array([total_alarms(curve) for curve in plain])
    rates = expected_rates(levels.logits, n_alarms, tuning.hours)
    for curve, counts, row in zip(plain, n_alarms, rates, strict=True):
        label = tuning.labels[curve.label]
        # A logarithmic axis has no place for 0: small rates are cut off, just below the visible range.
        (line,) = axes.semilogy(
            levels.logits, row.clip(LOWEST_RATE_PER_HOUR / 10.0), label=spaced(curve.label), alpha=0.8
        )
        is_met = counts > 0
        axes.plot(levels.logits[is_met], counts[is_met] / tuning.hours, ".", color=line.get_color())
        i_level = levels.thresholds.index(label.onset_threshold)
        height = max(label.expected_per_hour, LOWEST_RATE_PER_HOUR)
        axes.plot(levels.logits[i_level], height, "D", color=line.get_color(), markeredgecolor="black")
    axes.axhline(tuning.budget_per_hour, color=MISTAKE, linestyle="--", label="budget of all labels")
    # The axis is linear in logits, which keeps thresholds near 1 apart; the ticks are probabilities.
    ticks = (0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)
    axes.set_xticks(np.log(np.array(ticks) / (1.0 - np.array(ticks))), [f"{tick:g}" for tick in ticks])
    axes.set(xlabel="onset threshold", ylabel="false alarms per hour", ylim=(LOWEST_RATE_PER_HOUR, None))
    axes.set_title("dots: observed; lines: expected; diamonds: chosen", fontsize=10)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
