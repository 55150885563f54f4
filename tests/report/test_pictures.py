from __future__ import annotations

import numpy as np
import pytest

from streamgmm.evaluation.metrics import Bin
from streamgmm.evaluation.scores import score_trial
from streamgmm.report.pictures import (
    SCORE_THRESHOLDS,
    draw_confusion,
    draw_known,
    draw_reliability,
    draw_thresholds,
)
from tests.report.report_rig import make_trial

collections = pytest.importorskip("matplotlib.collections")


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    return make_trial(tmp_path_factory.mktemp("trial"), is_open_set=True)


def line(figure, name: str) -> np.ndarray:
    (found,) = (one for one in figure.axes[0].lines if one.get_label() == name)
    return np.asarray(found.get_ydata())


def test_the_cells_hold_the_counts(trial):
    evaluation = score_trial(trial)
    (axes,) = draw_confusion(evaluation).axes
    shown = {(round(t.get_position()[1]), round(t.get_position()[0])): int(t.get_text()) for t in axes.texts}
    counts = {
        (row, column): count
        for row, cells in enumerate(evaluation.confusion)
        for column, count in enumerate(cells)
        if count
    }
    assert shown == counts
    assert [t.get_text() for t in axes.get_xticklabels()] == evaluation.answers
    assert [t.get_text() for t in axes.get_yticklabels()] == evaluation.labels


def test_curves_against_plain_loops(trial):
    answers = list(trial.answers)
    figure = draw_thresholds(answers)
    for place in (0, 100, 150, 180):
        through = [
            a.decision.label == a.clip.label
            for a in answers
            if a.decision.score >= SCORE_THRESHOLDS[place] and a.decision.label != "unknown"
        ]
        assert line(figure, "accepted, of all")[place] == pytest.approx(len(through) / len(answers))
        assert line(figure, "right, of the accepted")[place] == pytest.approx(np.mean(through))
    assert np.isnan(line(figure, "right, of the accepted")[-1])


def test_known_and_unknown_clips_are_counted_apart(trial):
    figure = draw_known(trial.left_out)
    (left_out,) = trial.left_out
    for name, answers in (("of a trained class", left_out.known), ("of the class left out", left_out.unknown)):
        for place in (0, 20, 100):
            share = np.mean([a.decision.in_domain_score >= SCORE_THRESHOLDS[place] for a in answers])
            assert line(figure, name)[place] == pytest.approx(share)


def test_the_larger_a_bin_the_larger_its_dot():
    figure = draw_reliability([Bin(1, 0.5, 0.0)], [Bin(10, 0.2, 0.3), Bin(90, 0.9, 0.8)])
    before, after = figure.axes[0].collections
    assert np.asarray(before.get_offsets()).tolist() == [[0.5, 0.0]]
    assert np.asarray(after.get_offsets()).tolist() == [[0.2, 0.3], [0.9, 0.8]]
    assert isinstance(after, collections.PathCollection)
    small, large = after.get_sizes()
    assert small < large
