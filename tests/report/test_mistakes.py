from __future__ import annotations

import pytest

from streamgmm.evaluation.conditions import Conditions
from streamgmm.report.mistakes import picture_mistakes, worst_answers
from streamgmm.settings.config import Config
from tests.narrowing import present
from tests.report.report_rig import make_trial

pytest.importorskip("matplotlib")


def test_the_surest_mistakes_come_first_and_each_clip_once(tmp_path):
    answers = list(make_trial(tmp_path).answers)
    surer = [one._replace(decision=one.decision._replace(score=one.decision.score / 2)) for one in answers]
    worst = worst_answers([*surer, *answers])
    assert worst == sorted(
        (one for one in answers if one.decision.label != one.clip.label), key=lambda one: -one.decision.score
    )


def test_mistakes_have_spectrograms_unless_the_clip_is_gone(tmp_path):
    trial = make_trial(tmp_path, conditions=Conditions(first_active_s=0.5))
    worst_answers(trial.answers)[0].clip.path.unlink()
    mistakes = picture_mistakes(trial, Config())
    assert [mistake.picture is None for mistake in mistakes] == [True] + [False] * (len(mistakes) - 1)
    for mistake in mistakes[1:]:
        assert 0.4 < mistake.duration_s < mistake.answer.clip.duration_s
        assert present(mistake.picture).startswith("data:image/png;base64,")
