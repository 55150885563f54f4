from __future__ import annotations

import re

import msgspec
import numpy as np
import pytest
import soundfile
from msgspec.structs import replace

from streamgmm.dataset.dataset import read_dataset
from streamgmm.dataset.loading import load_clips
from streamgmm.errors import ConfigError, DataError
from streamgmm.listening.clips import decide_clip
from streamgmm.model.file import model_bytes
from streamgmm.settings.config import Config
from streamgmm.training.trainer import make_card, make_task, train
from tests.dataset.dataset_rig import write_classes
from tests.training.training_rig import RATE_HZ, SOUND_LABELS, quick_config, write_sounds


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return read_dataset(write_sounds(tmp_path_factory.mktemp("sounds")))


@pytest.fixture(scope="module")
def training(dataset):
    return train(dataset, quick_config(), name="yard")


def test_a_model_recognises_its_training_sounds(dataset, training):
    assert training.model.labels == SOUND_LABELS
    assert training.model.name == "yard"
    assert training.model.spec.sample_rate_hz == RATE_HZ
    for_clips, for_events = training.notes
    assert re.match("cepstral frames are (not )?used for clips: ", for_clips)
    assert re.match("cepstral frames are (not )?used for events: ", for_events)
    for clip in dataset.clips:
        assert decide_clip(load_clips([clip], RATE_HZ), training.model, Config()).label == clip.label


def test_the_model_carries_what_validation_found(training):
    classifier = training.model.classifier
    assert classifier.likelihood_scale == training.validation.calibration.likelihood_scale
    floors = training.validation.calibration.floors
    assert np.array_equal(classifier.floors, floors - classifier.projection.n_dimensions)


def test_the_card_describes_the_training_data(dataset, training):
    card = training.model.card
    assert card["n_clips"] == dict.fromkeys(SOUND_LABELS, 4)
    assert card["n_windows"] == {
        label: sum(len(c.vectors) for c in training.clips if c.clip.label == label) for label in SOUND_LABELS
    }
    assert card["held_out_accuracy"] == training.validation.accuracy
    assert set(card["held_out_recalls"]) == set(SOUND_LABELS)
    assert card["settings"]["training"]["n_components"] == 3
    assert {"kernel", "numpy"} <= card["versions"].keys()
    assert len(card["data_sha256"]) == 64
    assert "credit" not in {**card, **card["settings"]["training"]}


def test_a_credit_stands_at_the_top_of_the_card_and_changes_nothing_else(dataset, training):
    task = msgspec.structs.replace(training.task, training=quick_config(credit="CC0").training)
    validation = training.validation._replace(training=task.training)
    card = make_card(dataset.labels, task, training.clips, validation)
    plain = make_card(
        dataset.labels, task, training.clips, training.validation._replace(training=quick_config().training)
    )
    assert card == {"credit": "CC0", **plain}


def test_the_same_data_and_seed_give_the_same_bytes_whatever_the_number_of_processes(dataset, training):
    again = train(dataset, quick_config(n_jobs=2), name="yard").model
    assert model_bytes(again) == model_bytes(training.model)


def test_the_hash_of_the_data_depends_on_sounds_labels_and_times_alone(dataset, training, tmp_path):
    root = write_sounds(tmp_path / "data")
    (root / "footsteps" / "0.wav").rename(root / "footsteps" / "renamed.wav")
    renamed = train(read_dataset(root), quick_config(n_noise_copies=0), name="yard")
    assert renamed.model.card["data_sha256"] == training.model.card["data_sha256"]
    (root / "footsteps" / "renamed.wav").unlink()
    fewer = train(read_dataset(root), quick_config(n_noise_copies=0), name="yard")
    assert fewer.model.card["data_sha256"] != training.model.card["data_sha256"]


def test_the_rate_is_that_of_most_recordings_unless_one_is_given(dataset):
    assert make_task(dataset, Config()).spec.sample_rate_hz == RATE_HZ
    config = msgspec.convert({"features": {"sample_rate_hz": 16000}}, Config)
    assert make_task(dataset, config).spec.sample_rate_hz == 16000


def test_features_that_do_not_fit_the_rate_are_an_error_of_the_settings(dataset):
    config = msgspec.convert({"features": {"sample_rate_hz": 4000, "min_hz": 1000}}, Config)
    with pytest.raises(ConfigError, match="features: min_hz 1000 is too high for a rate of 4000 Hz"):
        make_task(dataset, config)


def test_progress_is_shown_for_each_part_of_the_work(dataset):
    seen = []

    def track(items, description, total):
        items = list(items)
        assert len(items) == total
        seen.append(description)
        return items

    train(dataset, quick_config(), name="yard", track=track)
    assert seen == ["measuring", "validating", "fitting"]


def test_B15_a_class_without_recordings_is_refused_by_name(tmp_path):
    write_classes(tmp_path, "dog", "cat")
    (tmp_path / "owl").mkdir()
    with pytest.raises(DataError, match="class 'owl' has 0 usable clips"):
        train(read_dataset(tmp_path), quick_config(), name="yard")


def test_B16_a_single_clip_is_refused_unless_it_is_allowed_and_then_has_no_score(tmp_path):
    root = write_sounds(tmp_path / "data", n_clips=1)
    with pytest.raises(DataError, match="has 1 usable clips that differ, but needs 2"):
        read_dataset(root)
    training = train(read_dataset(root, min_clips=1), quick_config(min_clips=1), name="yard")
    assert training.validation.accuracy is None
    assert any(note.startswith("no held-out scores") for note in training.notes)


def write_faint(path, seed):
    faint = 1e-5 * np.random.default_rng(seed).standard_normal(RATE_HZ)
    soundfile.write(path, faint, RATE_HZ, subtype="FLOAT")


def test_B19_a_class_that_is_silent_throughout_is_refused_by_name(tmp_path):
    root = write_sounds(tmp_path / "data", n_clips=2)
    (root / "ghost").mkdir()
    for seed in range(3):
        write_faint(root / "ghost" / f"{seed}.wav", seed)
    with pytest.raises(DataError, match="class 'ghost' has 0 usable clips") as caught:
        train(read_dataset(root), quick_config(), name="yard")
    assert f"left out: 3 files, such as {root / 'ghost' / '0.wav'}: is silent throughout" in str(caught.value)


def test_a_silent_clip_among_others_is_left_out_and_counted(tmp_path):
    root = write_sounds(tmp_path / "data", n_clips=2)
    write_faint(root / "footsteps" / "silent.wav", 0)
    training = train(read_dataset(root), quick_config(), name="yard")
    assert [skipped.reason for skipped in training.dataset.skipped] == ["silent"]
    assert training.model.card["n_clips"]["footsteps"] == 2


@pytest.mark.parametrize("what", ["silent", "not_audio", "truncated"])
def test_strict_refuses_what_would_be_left_out_or_warned_of(tmp_path, what):
    root = write_sounds(tmp_path / "data", n_clips=3)
    if what == "silent":
        write_faint(root / "footsteps" / "silent.wav", 0)
    elif what == "not_audio":
        (root / "footsteps" / "text.wav").write_text("no sound")
    else:
        path = root / "footsteps" / "0.wav"
        path.write_bytes(path.read_bytes()[:20000])
    assert train(read_dataset(root), quick_config(), name="yard")
    dataset = read_dataset(root, is_strict=True)
    with pytest.raises(DataError, match=r"left out: (is silent|is not a recording|is truncated or damaged)"):
        train(dataset, quick_config(), name="yard", is_strict=True)


def test_strict_refuses_warnings(dataset):
    warned = msgspec.structs.replace(dataset, warnings=["something is odd"])
    with pytest.raises(DataError, match="something is odd"):
        train(warned, quick_config(), name="yard", is_strict=True)


def test_B23_a_class_of_a_lower_rate_than_the_model_is_warned_of(dataset):
    narrow = [replace(c, sample_rate_hz=RATE_HZ // 2) if c.label == SOUND_LABELS[0] else c for c in dataset.clips]
    training = train(replace(dataset, clips=narrow), quick_config(), name="yard")
    assert [warning.split(":")[0] for warning in training.dataset.warnings] == [
        f"no recording of '{SOUND_LABELS[0]}' has more than {RATE_HZ // 2} Hz, the model has {RATE_HZ} Hz"
    ]


def test_strict_accepts_what_is_in_order(dataset):
    assert train(dataset, quick_config(), name="yard", is_strict=True).model.labels == SOUND_LABELS
