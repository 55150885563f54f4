"""The clips that were wrong with the highest scores: they teach most about a data set."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from streamgmm.audio.reading import RecordingError
from streamgmm.config import Config
from streamgmm.evaluation.answering import Answer, heard_clips
from streamgmm.evaluation.scores import is_right
from streamgmm.evaluation.trial import Trial
from streamgmm.report.figure import inline_png
from streamgmm.report.spectrogram import band_levels_db, shown_range_db

N_WORST = 9
N_BANDS, N_COLUMNS = 96, 320


class Mistake(NamedTuple):
    """A clip that was taken for something else.

    Attributes:
        answer: what was said of it.
        duration_s: how long it was heard (s).
        picture: spectrogram of what was heard, as the `src` of an `<img>`; None if it cannot be read any more.
    """

    answer: Answer
    duration_s: float
    picture: str | None


def worst_answers(answers: Iterable[Answer]) -> list[Answer]:
    """The wrong answers with the highest scores, highest first, each clip once whatever the seeds."""
    wrong = sorted((one for one in answers if not is_right(one)), key=lambda one: -one.decision.score)
    by_clip = {(one.clip.path, one.clip.onset_s, one.clip.label): one for one in reversed(wrong)}
    return sorted(by_clip.values(), key=lambda one: -one.decision.score)[:N_WORST]


def picture_mistakes(trial: Trial, config: Config) -> list[Mistake]:
    """The worst answers of `trial` with what was heard, noise and all."""
    return [_picture(answer, trial, config) for answer in worst_answers(trial.answers)]


def _picture(answer: Answer, trial: Trial, config: Config) -> Mistake:
    rate_hz = trial.spec.sample_rate_hz
    try:
        (samples,) = heard_clips([answer.clip], trial.spec, config, trial.conditions)
    except RecordingError:
        return Mistake(answer, answer.clip.duration_s, None)
    levels_db = band_levels_db(samples, rate_hz, N_BANDS, N_COLUMNS)
    return Mistake(answer, len(samples) / rate_hz, inline_png(levels_db, *shown_range_db(levels_db)))
