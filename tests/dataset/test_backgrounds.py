"""Recordings of the background beside a data set."""

from __future__ import annotations

import numpy as np
import pytest

from streamgmm.dataset import backgrounds
from streamgmm.dataset.dataset import read_dataset
from streamgmm.demo.recordings import write_wav
from streamgmm.errors import DataError, StreamgmmError
from tests.training.training_rig import RATE_HZ, write_sounds


def write_room(path, duration_s: float, seed: int = 0):
    path.parent.mkdir(exist_ok=True)
    hum = np.random.default_rng(seed).normal(0.0, 0.01, int(duration_s * RATE_HZ))
    write_wav(path, hum.astype(np.float32), RATE_HZ)
    return path


@pytest.fixture
def sounds(tmp_path):
    return write_sounds(tmp_path / "sounds", ("footsteps", "phone_ring"), n_clips=2)


def test_recordings_and_folders_are_added_as_background(sounds, tmp_path):
    room, hall = write_room(tmp_path / "rooms" / "room.wav", 2.0), write_room(tmp_path / "hall.wav", 3.0, seed=1)
    dataset = read_dataset(sounds, backgrounds=[tmp_path / "rooms", hall])
    assert dataset.labels == ["background", "footsteps", "phone_ring"]
    own = [clip for clip in dataset.clips if clip.label == "background"]
    assert [(clip.path, clip.duration_s, clip.fold) for clip in own] == [(room, 2.0, None), (hall, 3.0, None)]
    assert len({clip.source_id for clip in own}) == 2


def test_a_link_that_is_named_is_used_like_the_recording(sounds, tmp_path):
    room = write_room(tmp_path / "rooms" / "room.wav", 2.0)
    (tmp_path / "link.wav").symlink_to(room)
    dataset = read_dataset(sounds, backgrounds=[tmp_path / "link.wav"])
    assert [clip.path for clip in dataset.clips if clip.label == "background"] == [room]
    assert dataset.skipped == []


def test_segments_are_spread_over_a_long_recording_and_stay_together(sounds, tmp_path, monkeypatch):
    monkeypatch.setattr(backgrounds, "SEGMENT_S", 0.5)
    monkeypatch.setattr(backgrounds, "MAX_SEGMENTS", 4)
    room = write_room(tmp_path / "room.wav", 5.0)
    own = [clip for clip in read_dataset(sounds, backgrounds=[room]).clips if clip.label == "background"]
    assert [(clip.onset_s, clip.offset_s) for clip in own] == [(0.0, 0.5), (1.5, 2.0), (3.0, 3.5), (4.5, 5.0)]
    assert len({clip.source_id for clip in own}) == 1


def test_a_background_that_holds_a_sound_of_a_class_is_warned_of(sounds):
    clip = sounds / "footsteps" / "0.wav"
    warnings = read_dataset(sounds, backgrounds=[clip]).warnings
    assert any("0.wav" in warning and "background" in warning for warning in warnings), warnings


def test_a_place_without_recordings_is_one_line(sounds, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no recordings"):
        read_dataset(sounds, backgrounds=[tmp_path / "empty"])
    with pytest.raises(StreamgmmError):
        read_dataset(sounds, backgrounds=[tmp_path / "nothing.wav"])
