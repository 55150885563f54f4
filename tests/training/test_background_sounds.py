"""A user's own background that holds taught sounds is noticed by the training that learnt it."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile

from streamgmm.arrays import Float64Array
from streamgmm.audio.file import RecordingFile
from streamgmm.dataset.clips import Clip
from streamgmm.dataset.dataset import read_dataset
from streamgmm.model.file import load_model
from streamgmm.settings.config import Config
from streamgmm.settings.decision import LabelSection
from streamgmm.training.background_sounds import is_judged, model_without_background, taught_sound_notes
from streamgmm.training.extraction.world_clips import WorldClips
from streamgmm.training.fitting.fitting import fit_classifier
from streamgmm.training.selection.calibration import calibrated
from streamgmm.training.selection.validation import validate
from streamgmm.training.trainer import train
from streamgmm.training.workers import untracked
from tests.required import corpus
from tests.training.training_rig import make_clip, make_clips, quick_config
from tests.tuning.tuning_rig import with_copies

RATE_HZ = 8000
ROOM_S, N_BARKS, SNR_DB = 60.0, 4, 12.0


@pytest.fixture(scope="module")
def model(demo_model):
    thresholds = {"siren": LabelSection(onset_threshold=0.6)}
    return replace(with_copies(load_model(demo_model), siren=[0.5, 0.7]), decision=thresholds)


def background_of(path: Path, **changes) -> Clip:
    return msgspec.structs.replace(make_clip("background", 0), path=path, **changes)


def test_a_note_names_label_recording_and_times(model, demo_scene):
    clips = [background_of(demo_scene), background_of(demo_scene)]
    (note,) = taught_sound_notes(clips, model, Config(), untracked)
    # Each recording once.
    assert note.count("'siren' ") == note.count(" in scene.wav at ") == 1
    assert "if they are, train again with a recording of the room without them" in note
    assert "knocking" not in note  # its copies are not known


def test_recordings_of_other_labels_segments_and_missing_ones_are_not_heard(model, demo_scene, tmp_path):
    clips = [
        background_of(demo_scene, label="siren"),
        background_of(demo_scene, onset_s=0.0, offset_s=60.0),
        background_of(tmp_path / "at_a_worker.wav"),
    ]
    assert taught_sound_notes(clips, model, Config(), untracked) == []


def test_the_listener_knows_nothing_of_the_background_but_the_world(model):
    labels = ["background", "dog"]
    world = [clip._replace(is_world=True) for clip in make_clips({"background": -4.0}, 10)]
    clips = [*make_clips({"background": 4.0, "dog": 4.0}), *world]
    validation = validate(clips, labels, quick_config().training)
    fit = fit_classifier(clips, labels, validation.training)
    decision = {"dog": LabelSection(onset_threshold=0.6)}
    learnt = replace(model, classifier=calibrated(fit, validation.calibration), decision=decision, density=None)
    unlearnt = model_without_background(learnt, clips, validation, untracked)
    own = clips[0].vectors.astype(np.float64)
    assert learnt.classifier.score_many(own).argmax(axis=1).mean() < 0.1
    without = fit_classifier(clips[6:], labels, validation.training)
    np.testing.assert_array_equal(
        unlearnt.classifier.score_many(own),
        calibrated(without, validation.calibration).score_many(own),
    )
    assert unlearnt.decision == learnt.decision
    assert unlearnt.card == learnt.card


def test_only_a_background_beside_a_world_and_copies_is_judged(model):
    world = WorldClips(make_clips({"background": -4.0}, 1))
    clips = [make_clip("background", 0)]
    assert is_judged(clips, world, model)
    assert not is_judged([make_clip("dog", 0)], world, model)
    assert not is_judged(clips, WorldClips([]), model)
    assert not is_judged(clips, world, replace(model, card={}))


def samples_of(path: Path) -> Float64Array:
    source = RecordingFile(path, channel="mean")
    source.open(RATE_HZ)
    blocks = []
    while (block := source.read()) is not None:
        blocks.append(block.samples)
    source.close()
    return np.concatenate(blocks).astype(np.float64)


def rows_of(name: str) -> list[dict[str, str]]:
    with (corpus(name) / "manifest.csv").open(newline="") as file:
        return [{**row, "path": str(corpus(name) / row["path"])} for row in csv.DictReader(file)]


def room_with(barks: list[str]) -> Float64Array:
    """Ambiences one after the other, with a bark in each equal part of them."""
    ambiences = [samples_of(path)[: 15 * RATE_HZ] for path in sorted((corpus("ambience") / "audio").iterdir())]
    room: Float64Array = np.concatenate(ambiences)[: round(ROOM_S * RATE_HZ)]
    for i, path in enumerate(barks):
        bark = samples_of(Path(path))[: 4 * RATE_HZ]
        begin = round((i + 0.3) * len(room) / len(barks))
        part = room[begin : begin + len(bark)]
        loud = bark[np.abs(bark) > 0.1 * np.abs(bark).max()]
        part += bark[: len(part)] * 10.0 ** (SNR_DB / 20.0) * part.std() / loud.std()
    room /= np.abs(room).max()
    return room


@pytest.mark.slow
@pytest.mark.parametrize("n_barks", [0, N_BARKS])
def test_barks_in_the_recording_of_a_room_are_noticed(tmp_path, n_barks):
    rows = [row for row in rows_of("esc10") if row["label"] in ("dog_bark", "rooster")]
    with (tmp_path / "clips.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["path", "label"], extrasaction="ignore")
        writer.writeheader()
        writer.writerows(row for row in rows if row["fold"] == "1")
    others = [row["path"] for row in rows if row["label"] == "dog_bark" and row["fold"] == "3"]
    soundfile.write(tmp_path / "room.wav", room_with(others[:n_barks]), RATE_HZ)
    settings = {"search": False, "n_jobs": 1, "cache": True}
    config = msgspec.convert({"features": {"sample_rate_hz": RATE_HZ}, "training": settings}, Config)
    dataset = read_dataset(tmp_path / "clips.csv", backgrounds=[tmp_path / "room.wav"])
    notes = [note for note in train(dataset, config, name="yard").notes if "taught sounds" in note]
    assert len(notes) == min(1, n_barks)
    assert all("'dog_bark' " in note and "in room.wav at" in note for note in notes)
