"""The pictures of an evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from streamgmm.evaluation.answering import ClipAnswer
from streamgmm.evaluation.metrics import Bin
from streamgmm.evaluation.scores import Evaluation, in_domain_scores_of_answers, is_right
from streamgmm.evaluation.trial import LeftOut
from streamgmm.labels import SILENCE, UNKNOWN
from streamgmm.report.figure import PAGE_INK, new_figure
from streamgmm.report.palette import BAD, GOOD

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_INCHES, HEIGHT_INCHES = 5.0, 3.9
INCHES_PER_LABEL = 0.42
MAX_NUMBERED_LABELS = 40
"""With more labels the cells are too small for the numbers in them."""

SCORE_THRESHOLDS = np.linspace(0.0, 1.0, 201)


def draw_confusion(evaluation: Evaluation) -> Figure:
    """Draw a matrix of true labels (rows) and answers (columns); the opacity of a cell is its share of the row."""
    n_rows, n_columns = len(evaluation.labels), len(evaluation.answers)
    size = (2.2 + INCHES_PER_LABEL * n_columns, 1.6 + INCHES_PER_LABEL * n_rows)
    figure = new_figure(*size, layout="constrained")
    axes = figure.subplots()
    for row, counts in enumerate(evaluation.confusion):
        for column, count in enumerate(counts):
            _draw_cell(axes, row, column, count, sum(counts), is_numbered=n_columns <= MAX_NUMBERED_LABELS)
    # The vertical axis is reversed, so that the first label is on top.
    axes.set(xlim=(-0.5, n_columns - 0.5), ylim=(n_rows - 0.5, -0.5), aspect="equal", xlabel="answered", ylabel="true")
    axes.set_xticks(range(n_columns), evaluation.answers, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(n_rows), evaluation.labels)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def _draw_cell(axes: Axes, row: int, column: int, count: int, n_true: int, *, is_numbered: bool) -> None:
    from matplotlib.patches import Rectangle

    corner = (column - 0.46, row - 0.46)
    # A faint cell even without clips keeps the grid visible.
    axes.add_patch(Rectangle(corner, 0.92, 0.92, facecolor=PAGE_INK, alpha=0.05, linewidth=0))
    if not count:
        return
    colour = GOOD if row == column else BAD
    axes.add_patch(Rectangle(corner, 0.92, 0.92, facecolor=colour, alpha=0.2 + 0.7 * count / n_true, linewidth=0))
    if is_numbered:
        axes.text(column, row, str(count), ha="center", va="center", fontsize=10)


def draw_reliability(before: Sequence[Bin], after: Sequence[Bin]) -> Figure:
    """Draw accuracy over the posterior of the best label; the area of a dot is its number of clips."""
    figure, axes = _unit_square("posterior of the best label", "share of clips that are right")
    axes.plot([0, 1], [0, 1], color=PAGE_INK, alpha=0.4, linewidth=1, linestyle="--")
    # The same for both curves: calibration moves clips between bins, but loses none.
    n_clips = sum(one.n_clips for one in after)
    for bins, colour, name in ((before, BAD, "before calibration"), (after, GOOD, "after")):
        confidences, shares = [one.confidence for one in bins], [one.share_right for one in bins]
        axes.plot(confidences, shares, color=colour, linewidth=1, alpha=0.55)
        areas = [20 + 600 * one.n_clips / n_clips for one in bins]
        axes.scatter(confidences, shares, s=areas, color=colour, alpha=0.6, linewidth=0)
        # No data: the legend shows dots of one size, whatever the areas of those in the picture.
        axes.plot([], [], color=colour, marker="o", markersize=6, label=name)
    _draw_legend(axes)
    return figure


def draw_thresholds(answers: Sequence[ClipAnswer]) -> Figure:
    """Draw the share of clips that a threshold on the score accepts, and the accuracy of those."""
    scores = np.array([answer.decision.score for answer in answers])
    is_named = np.array([answer.decision.label not in (UNKNOWN, SILENCE) for answer in answers])
    right = np.array([is_right(answer) for answer in answers])
    is_accepted = (scores >= SCORE_THRESHOLDS[:, np.newaxis]) & is_named
    n_accepted = is_accepted.sum(axis=1)
    # The line ends where no clip is accepted, as there is no accuracy.
    shares_right = np.where(n_accepted, (is_accepted & right).sum(axis=1) / np.maximum(n_accepted, 1), np.nan)
    figure, axes = _unit_square("threshold on the score", "share of clips")
    axes.plot(SCORE_THRESHOLDS, n_accepted / len(answers), color=BAD, linewidth=1.8, label="accepted, of all")
    axes.plot(SCORE_THRESHOLDS, shares_right, color=GOOD, linewidth=1.8, label="right, of the accepted")
    _draw_legend(axes)
    return figure


def draw_known(left_out: Sequence[LeftOut]) -> Figure:
    """Draw the shares of clips of trained and of left-out classes that a threshold on the in-domain score accepts."""
    known = in_domain_scores_of_answers(answer for one in left_out for answer in one.known)
    unknown = in_domain_scores_of_answers(answer for one in left_out for answer in one.unknown)
    figure, axes = _unit_square("threshold on the in-domain score", "share of clips accepted")
    for values, colour, name in ((known, GOOD, "of a trained class"), (unknown, BAD, "of the class left out")):
        axes.plot(
            SCORE_THRESHOLDS,
            np.mean(values >= SCORE_THRESHOLDS[:, np.newaxis], axis=1),
            color=colour,
            lw=1.8,
            label=name,
        )
    _draw_legend(axes)
    return figure


def _draw_legend(axes: Axes) -> None:
    """Place the legend above the axes, where there are no lines."""
    axes.legend(loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=2, borderaxespad=0.2)


def _unit_square(xlabel: str, ylabel: str) -> tuple[Figure, Axes]:
    """Return axes from 0 to 1 in both directions, with percent on the vertical one."""
    from matplotlib.ticker import PercentFormatter

    figure = new_figure(WIDTH_INCHES, HEIGHT_INCHES, layout="constrained")
    axes = figure.subplots()
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.03, 1.03), xlabel=xlabel, ylabel=ylabel)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0))
    axes.grid(color=PAGE_INK, alpha=0.12, linewidth=0.7)
    axes.set_axisbelow(True)
    return figure, axes
