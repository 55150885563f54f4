from __future__ import annotations

import numpy as np
import pytest

from streamgmm.dataset.dataset import read_dataset
from streamgmm.demo.recordings import write_wav
from streamgmm.errors import DataError
from streamgmm.evaluation import evaluation
from streamgmm.evaluation.conditions import UNCHANGED, Conditions, Noise
from streamgmm.evaluation.evaluation import cross_validate, score_model
from streamgmm.evaluation.scores import score_trial
from streamgmm.training.trainer import fit_calibrated, train
from tests.narrowing import present
from tests.training.training_rig import (
    RATE_HZ,
    SOUND_LABELS,
    answered_as,
    make_clip,
    make_dataset,
    quick_config,
    with_folds,
    write_sounds,
)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    return read_dataset(write_sounds(tmp_path_factory.mktemp("sounds")))


@pytest.fixture(scope="module")
def model(sounds):
    return train(sounds, quick_config(), name="yard").model


def test_conditions_are_for_the_clips_that_are_answered_and_training_is_as_ever(sounds, monkeypatch):
    fitted, heard = [], []

    def fit(clips, *arguments):
        fitted.append([clip.vectors.tobytes() for clip in clips])
        return fit_calibrated(clips, *arguments)

    def answer(clips, models, config, conditions):
        heard.append(conditions)
        return ((answered_as(clip, clip.label),) for clip in clips)

    monkeypatch.setattr(evaluation, "fit_calibrated", fit)
    monkeypatch.setattr(evaluation, "answer_with_each", answer)
    dataset, noisy = with_folds(sounds, ["a", "b"]), Conditions(Noise("white", 0.0), 1.0, -20.0)
    clean = cross_validate(dataset, quick_config())
    trial = cross_validate(dataset, quick_config(), conditions=noisy)
    assert heard == [UNCHANGED] * 2 + [noisy] * 2
    assert fitted[:2] == fitted[2:]
    assert (clean.conditions, trial.conditions) == (UNCHANGED, noisy)
    done = {key: value for key, value in score_trial(trial).conditions.items() if value is not None}
    assert done == {"noise": "white", "snr_db": 0.0, "first_active_s": 1.0, "gain_db": -20.0}


def test_gain_changes_no_answer_as_features_follow_the_level(sounds, model):
    plain = score_trial(score_model(sounds, model, quick_config()))
    quiet = score_trial(score_model(sounds, model, quick_config(), conditions=Conditions(gain_db=-20.0)))
    assert quiet.confusion == plain.confusion
    assert quiet.log_loss == pytest.approx(plain.log_loss, abs=0.05)


def test_loud_noise_raises_the_log_loss(sounds, model):
    noisy = score_model(sounds, model, quick_config(), conditions=Conditions(Noise("white", -20.0)))
    quiet = score_model(sounds, model, quick_config())
    assert present(score_trial(noisy).log_loss) > present(score_trial(quiet).log_loss) + 0.1


def test_short_noise_is_rejected_before_anything_is_measured(monkeypatch, sounds, model, tmp_path):
    monkeypatch.setattr(evaluation, "WindowLengths", lambda *_: pytest.fail("measured"))
    write_wav(tmp_path / "short.wav", np.ones(RATE_HZ, np.float32), RATE_HZ)
    short = Conditions(Noise("file", 10.0, tmp_path / "short.wav"))
    for refused in (
        lambda: cross_validate(sounds, quick_config(), conditions=short),
        lambda: score_model(sounds, model, quick_config(), conditions=short),
    ):
        with pytest.raises(DataError, match="is shorter than"):
            refused()


@pytest.fixture(scope="module")
def four_sounds(tmp_path_factory):
    root = write_sounds(tmp_path_factory.mktemp("four"), labels=[*SOUND_LABELS, "siren"], n_clips=2)
    (root / "siren").rename(root / "background")
    return with_folds(read_dataset(root), ["a", "b"])


def test_each_class_but_the_background_is_left_out_of_training_in_turn(four_sounds, monkeypatch):
    taught = []

    def fit(clips, labels, task):
        assert {clip.clip.label for clip in clips} == set(labels)
        taught.append(labels)
        return fit_calibrated(clips, labels, task)

    monkeypatch.setattr(evaluation, "fit_calibrated", fit)
    trial = cross_validate(four_sounds, quick_config(), is_open_set=True)
    assert [one.label for one in trial.left_out] == [*SOUND_LABELS, *SOUND_LABELS]
    # In each fold first with all labels, and then without each class.
    expected = [[label for label in four_sounds.labels if label != left] for left in (None, *SOUND_LABELS)]
    assert taught == expected * 2
    for one in trial.left_out:
        assert {answer.clip.label for answer in one.unknown} == {one.label}
        assert {answer.clip.label for answer in one.known} == set(SOUND_LABELS) - {one.label}


def test_without_three_labels_no_class_can_be_left_out():
    dataset = make_dataset([make_clip(label, n) for label in ("cat", "dog") for n in range(3)])
    with pytest.raises(DataError, match="too few classes to leave one out"):
        cross_validate(dataset, quick_config(), is_open_set=True)
