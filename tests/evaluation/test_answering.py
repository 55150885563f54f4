from __future__ import annotations

import dataclasses
import subprocess
import sys

import msgspec
import pytest

from streamgmm.dataset.dataset import read_dataset
from streamgmm.dataset.loading import load_clips
from streamgmm.errors import DataError
from streamgmm.evaluation.answering import answer_clips, answer_with_each, clips_in_conditions
from streamgmm.evaluation.conditions import Conditions, Noise
from streamgmm.listening.clips import decide_clip
from streamgmm.listening.recordings import decide_recording
from streamgmm.model.classifier import PLAIN_VOTES
from streamgmm.settings.config import Config
from streamgmm.settings.features import FeaturesSection
from streamgmm.training.trainer import train
from tests.training.training_rig import RATE_HZ, quick_config, write_sounds


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    return read_dataset(write_sounds(tmp_path_factory.mktemp("sounds"), n_clips=2))


@pytest.fixture(scope="module")
def model(sounds):
    return train(sounds, quick_config(), name="yard").model


def test_the_answers_do_not_depend_on_the_number_of_processes(sounds, model):
    alone = list(answer_clips(sounds.clips, model, quick_config()))
    assert list(answer_clips(sounds.clips, model, quick_config(n_jobs=2))) == alone
    assert [answer.clip for answer in alone] == sounds.clips


def test_the_answers_are_those_of_classify(sounds, model):
    for clip, decision, _ in answer_clips(sounds.clips, model, quick_config()):
        assert decide_recording(clip.path, model, Config()) == decision


def test_several_models_answer_as_each_of_them_does_alone(sounds, model):
    labels = sounds.labels[1:]
    fewer = msgspec.structs.replace(sounds, labels=labels, clips=[c for c in sounds.clips if c.label in labels])
    shorter = msgspec.structs.replace(quick_config(cepstra="never"), features=FeaturesSection(window_s=0.5))
    models = [
        model,
        train(fewer, quick_config(seed=3), name="fewer").model,
        train(sounds, shorter, name="shorter").model,
    ]
    together = zip(*answer_with_each(sounds.clips, models, quick_config()), strict=True)
    for one, answers in zip(models, together, strict=True):
        assert list(answers) == list(answer_clips(sounds.clips, one, quick_config()))


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_a_recording_that_vanished_is_an_error_in_one_line(model, tmp_path, n_jobs):
    clips = read_dataset(write_sounds(tmp_path / "data", n_clips=2)).clips
    clips[0].path.unlink()
    with pytest.raises(DataError, match="no such file"):
        list(answer_clips(clips, model, quick_config(n_jobs=n_jobs)))


def test_an_answer_includes_the_uncalibrated_one(sounds, model):
    plain = dataclasses.replace(model.classifier, likelihood_scale=1.0, clips=PLAIN_VOTES)
    raw = dataclasses.replace(model, classifier=plain)
    for clip, decision, uncalibrated in answer_clips(sounds.clips, model, Config()):
        assert uncalibrated == decide_recording(clip.path, raw, Config())
        assert uncalibrated != decision


def test_under_conditions_it_is_the_altered_sound_that_is_answered(sounds, model):
    conditions = Conditions(Noise("white", 0.0), first_active_s=0.5, gain_db=-20.0)
    for clip, decision, _ in answer_clips(sounds.clips[:2], model, quick_config(), conditions):
        samples = load_clips([clip], RATE_HZ)[0]
        (heard,) = clips_in_conditions([clip], model.spec, Config(), conditions)
        assert len(heard) < len(samples)
        assert decision == decide_clip([heard], model, Config())
        assert decision != decide_clip([samples], model, Config())


def test_a_process_that_answers_needs_no_scikit_learn():
    program = (
        "import sys, streamgmm.evaluation.answering; print(*[n for n in sys.modules if n in ('sklearn', 'scipy')])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"
