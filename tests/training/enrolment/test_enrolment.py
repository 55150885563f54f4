from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamgmm.dataset.dataset import read_dataset
from streamgmm.dataset.listing import Findings
from streamgmm.dataset.loading import load_clips
from streamgmm.errors import DataError, InputMissingError, UsageError
from streamgmm.listening.clips import decide_clip
from streamgmm.model.file import model_bytes
from streamgmm.settings.decision import LabelSection
from streamgmm.training.enrolment.enrolment import (
    check_enrolled,
    check_forgotten,
    enrol,
    forget,
    new_clips,
)
from streamgmm.training.enrolment.refitting import ModelChange
from streamgmm.training.enrolment.training_cache import make_cache
from streamgmm.training.trainer import train
from tests.training.enrolment.cache_rig import TASK, model_of, small_cache, wide_clips
from tests.training.training_rig import RATE_HZ, SOUND_LABELS, quick_config, write_sounds

CONFIG = quick_config(cepstra="never", n_noise_copies=0, credit="the neighbours, CC BY")


@pytest.fixture(scope="module")
def sounds(tmp_path_factory) -> Path:
    return write_sounds(tmp_path_factory.mktemp("sounds"), (*SOUND_LABELS, "doorbell"))


@pytest.fixture(scope="module")
def known(sounds, tmp_path_factory):
    """A model of all sounds but the doorbell, and its cache."""
    folder = shutil.copytree(sounds, tmp_path_factory.mktemp("known") / "sounds")
    shutil.rmtree(folder / "doorbell")
    training = train(read_dataset(folder), CONFIG, name="yard")
    return training.model, make_cache(training.clips, training.task, has_cepstra=False)


@pytest.fixture(scope="module")
def change(sounds, known):
    return enrolled(known, "doorbell", [sounds / "doorbell"])


def enrolled(pair, label: str, paths, findings: Findings | None = None) -> ModelChange:
    findings = findings or Findings([], [], [])
    model, cache = pair
    return enrol(model, cache, label, new_clips(paths, label, cache, findings), findings, n_jobs=1)


# --- a class more


def test_a_model_learns_a_class_and_still_recognises_the_others(sounds, change):
    assert change.model.labels == tuple(sorted((*SOUND_LABELS, "doorbell")))
    for clip in read_dataset(sounds).clips:
        assert decide_clip(load_clips([clip], RATE_HZ), change.model, CONFIG).label == clip.label


def test_it_is_as_good_as_a_training_on_the_same_clips(sounds, change):
    retrained = train(read_dataset(sounds), CONFIG, name="yard")
    assert change.comparison.after.held_out_accuracy == pytest.approx(retrained.validation.accuracy, abs=1 / 16)
    assert change.model.classifier.projection.mean == pytest.approx(
        retrained.model.classifier.projection.mean, abs=1e-3
    )


def test_the_card_describes_the_training_data(sounds, known, change):
    retrained = train(read_dataset(sounds), CONFIG, name="yard").model.card
    card = change.model.card
    for key in ("credit", "data_sha256", "n_clips", "n_windows", "versions"):
        assert card[key] == retrained[key]
    assert card["credit"] == CONFIG.training.credit
    assert card["settings"] == known[0].card["settings"]
    assert card["n_windows_kept"] == card["n_windows"]
    assert card["held_out_accuracy"] == change.comparison.after.held_out_accuracy


def test_the_cache_holds_the_new_clips_each_a_source_of_its_own(change):
    own = [clip.clip for clip in change.cache.clips if clip.clip.label == "doorbell"]
    assert len({clip.source_id for clip in own}) == len(own) == 4
    assert change.cache.labels == list(change.model.labels)


def test_what_was_decided_on_labels_that_stay_is_kept(sounds, known):
    model, cache = known
    tuned = replace(
        model,
        decision={"footsteps": LabelSection(onset_threshold=0.9)},
        classifier=model.classifier.with_priors({"bird_song": 3.0}),
        card={**model.card, "tuning": {"hours": 2.0}},
    )
    change = enrolled((tuned, cache), "doorbell", [sounds / "doorbell"])
    assert change.model.decision == tuned.decision
    assert change.model.classifier.priors.tolist() == [3.0, 1.0, 1.0, 1.0]
    assert change.model.card["tuning"] == {"hours": 2.0, "is_of_an_earlier_model": True}
    assert any("run `tune` again" in note for note in change.notes)
    without = forget(change.model, change.cache, "footsteps").model
    assert (without.decision, without.classifier.priors.tolist()) == ({}, [3.0, 1.0, 1.0])


def test_the_same_clips_give_the_same_model_to_the_byte(sounds, known, change):
    assert model_bytes(enrolled(known, "doorbell", [sounds / "doorbell"]).model) == model_bytes(change.model)


def test_a_class_that_is_there_is_extended_by_a_single_clip(sounds, known):
    change = enrolled(known, "footsteps", [sounds / "doorbell" / "0.wav"])
    assert change.model.card["n_clips"]["footsteps"] == 5
    assert change.model.card["n_windows"]["footsteps"] > known[0].card["n_windows"]["footsteps"]
    assert change.comparison.compared == sorted(SOUND_LABELS)
    assert change.comparison.again.n_clips == known[0].card["n_clips"]


# --- unusable clips


def test_clips_that_are_known_already_are_left_out_with_a_warning(sounds, known, tmp_path):
    shutil.copytree(sounds / "doorbell", tmp_path / "new")
    shutil.copy(sounds / "doorbell" / "0.wav", tmp_path / "new" / "again.wav")
    shutil.copy(sounds / "footsteps" / "1.wav", tmp_path / "new" / "steps.wav")
    findings = Findings([], [], [])
    clips = new_clips([tmp_path / "new"], "doorbell", known[1], findings)
    assert sorted(clip.path.name for clip in clips) == ["0.wav", "1.wav", "2.wav", "3.wav"]
    assert any("contains the same sound as" in warning for warning in findings.warnings)
    assert any("steps.wav: is already known as 'footsteps'" in warning for warning in findings.warnings)


def test_fewer_clips_than_a_class_needs_are_refused_before_anything_is_measured(sounds, known, monkeypatch):
    monkeypatch.setattr("streamgmm.training.enrolment.refitting.extract_clips", lambda *_: pytest.fail("measured"))
    with pytest.raises(DataError, match="class 'doorbell': 2 new usable clips, but needs 3"):
        enrolled(known, "doorbell", [sounds / "doorbell" / f"{i}.wav" for i in range(2)])
    with pytest.raises(DataError, match=r"class 'footsteps': 0 new usable .* needs 1 \(.*already known as 'footsteps'"):
        enrolled(known, "footsteps", [sounds / "footsteps" / "0.wav"])


def test_silent_and_broken_clips_do_not_count(sounds, known, tmp_path):
    folder = shutil.copytree(sounds / "doorbell", tmp_path / "new")
    (folder / "0.wav").write_text("no sound")
    soundfile.write(
        folder / "1.wav", 1e-5 * np.random.default_rng(0).standard_normal(RATE_HZ), RATE_HZ, subtype="FLOAT"
    )
    with pytest.raises(DataError, match=r"2 new usable clips, but needs 3") as caught:
        enrolled(known, "doorbell", [folder])
    assert f"left out: {folder / '0.wav'}: is not a recording" in str(caught.value)
    assert f"left out: {folder / '1.wav'}: is silent throughout" in str(caught.value)


def test_a_path_that_is_not_there_is_named(known, tmp_path):
    for name, message in (("none.wav", "no such file or folder"), ("a\0b", "null byte")):
        with pytest.raises(InputMissingError, match=message):
            new_clips([tmp_path / name], "doorbell", known[1], Findings([], [], []))


# --- labels


@pytest.mark.parametrize(
    ("label", "error", "message"),
    [
        ("unknown", UsageError, "is an answer and not a class"),
        ("silence", UsageError, "is an answer and not a class"),
        ("a/b", DataError, "holds SOLIDUS"),
        ("Dog", DataError, "differ only by case"),
        ("Background", DataError, "differs from the reserved 'background'"),
    ],
)
def test_labels_that_make_no_sense_are_refused(label, error, message):
    with pytest.raises(error, match=message):
        check_enrolled(label, model_of(small_cache()))


@pytest.mark.parametrize("label", ["cat", "dog", "background"])
def test_other_labels_may_be_enrolled(label):
    assert check_enrolled(label, model_of(small_cache())) == label


# --- a class less


def test_a_class_is_forgotten_in_model_cache_and_card(known, change):
    forgotten = forget(change.model, change.cache, "doorbell")
    assert forgotten.model.labels == SOUND_LABELS
    assert forgotten.cache.labels == list(SOUND_LABELS)
    for key in ("data_sha256", "n_clips", "n_windows"):
        assert forgotten.model.card[key] == known[0].card[key]
    assert forgotten.comparison.compared == sorted(SOUND_LABELS)


def test_enrolled_and_forgotten_again_the_model_is_what_it_was_refitted_to():
    cache = small_cache()
    model = model_of(cache)
    longer = make_cache([*cache.clips, *wide_clips(["frog"])], TASK, has_cepstra=False)
    forgotten = forget(model_of(longer), longer, "frog").model
    for own, other in zip(forgotten.classifier.mixtures, model.classifier.mixtures, strict=True):
        assert np.array_equal(own.means, other.means)


def test_frames_stay_where_the_model_has_them():
    cache = small_cache(has_cepstra=True)
    forgotten = forget(model_of(cache), cache, "owl")
    assert forgotten.model.classifier.cepstra is not None
    assert forgotten.cache.has_cepstra


def test_a_class_that_is_not_there_is_refused_with_a_guess():
    with pytest.raises(UsageError, match=r"no class 'sirn' \(did you mean siren\?\)"):
        check_forgotten("sirn", model_of(small_cache()))


@pytest.mark.parametrize(
    ("labels", "label", "is_allowed"),
    [
        (("dog", "owl"), "dog", False),
        (("background", "dog"), "dog", False),
        (("background", "dog"), "background", False),
        (("background", "dog", "owl"), "dog", True),
        (("background", "dog", "owl"), "background", True),
        (("background", "silence", "owl"), "owl", False),
    ],
)
def test_something_is_left_to_tell_a_class_from(labels, label, is_allowed):
    model = model_of(small_cache(labels))
    if is_allowed:
        check_forgotten(label, model)
        return
    with pytest.raises(DataError, match=r"no class|one class only"):
        check_forgotten(label, model)


def test_a_class_beside_the_world_may_be_the_only_one():
    model = model_of(small_cache(("dog", "owl")))
    classifier = replace(model.classifier, background_prior=1.0)
    check_forgotten("dog", replace(model, classifier=classifier))
    with pytest.raises(DataError, match="one class only, 'owl'"):
        check_forgotten("dog", model)
