"""The wrong answers with the highest scores: they reveal most about a data set."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from streamgmm.audio.reading import RecordingError
from streamgmm.evaluation.answering import ClipAnswer, clips_in_conditions
from streamgmm.evaluation.scores import is_right
from streamgmm.evaluation.trial import Trial
from streamgmm.report.figure import inline_png
from streamgmm.report.spectrogram import band_levels_db, shown_range_db
from streamgmm.settings.config import Config

N_WORST = 9
N_BANDS, N_COLUMNS = 96, 320


class Mistake(NamedTuple):
    """A clip with a wrong answer.

    Attributes:
        answer: the wrong answer.
        duration_s: length of the clip under the conditions of the test (s).
        picture: its spectrogram as the `src` of an `<img>`; None if it can no longer be read.
    """

    answer: ClipAnswer
    duration_s: float
    picture: str | None


def worst_answers(answers: Iterable[ClipAnswer]) -> list[ClipAnswer]:
    """Return the wrong answers with the highest scores, highest first, each clip once for all seeds."""
    wrong = sorted((one for one in answers if not is_right(one)), key=lambda one: -one.decision.score)
    # Reversed, so that of several answers to a clip the last one, with the highest score, stays.
    by_clip = {(one.clip.path, one.clip.onset_s, one.clip.label): one for one in reversed(wrong)}
    return sorted(by_clip.values(), key=lambda one: -one.decision.score)[:N_WORST]


def picture_mistakes(trial: Trial, config: Config) -> list[Mistake]:
    """Return the worst answers of `trial` with spectrograms of the clips under the conditions of the test."""
    return [_picture(answer, trial, config) for answer in worst_answers(trial.answers)]


def _picture(answer: ClipAnswer, trial: Trial, config: Config) -> Mistake:
    rate_hz = trial.spec.sample_rate_hz
    try:
        (samples,) = clips_in_conditions([answer.clip], trial.spec, config, trial.conditions)
    # The recording may have been moved or changed since it was evaluated.
    except RecordingError:
        return Mistake(answer, answer.clip.duration_s, None)
    levels_db = band_levels_db(samples, rate_hz, N_BANDS, N_COLUMNS)
    return Mistake(answer, len(samples) / rate_hz, inline_png(levels_db, *shown_range_db(levels_db)))
