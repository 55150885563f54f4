"""Recordings as people have them, from the file to the report of the data set."""

import io

import numpy as np
import pytest
import soundfile

from streamgmm.dataset.backgrounds import background_entries
from streamgmm.dataset.clips import examine
from streamgmm.dataset.dataset import read_dataset
from streamgmm.dataset.listing import DatasetError, Findings
from tests.audio.making import RATE_HZ, wav


def sound(seed, duration_s=1.0):
    return np.random.default_rng(seed).normal(0, 0.1, round(duration_s * RATE_HZ)).clip(-1, 1).astype(np.float32)


def write_classes(folder, write):
    for label, first in (("dog", 0), ("cat", 10)):
        (folder / label).mkdir()
        for number in range(3):
            write(folder / label / f"{number}.wav", sound(first + number))
    return folder


def test_opposite_phase_is_reported_once_with_its_count(tmp_path):
    def write(path, samples):
        soundfile.write(path, np.stack([samples, -0.95 * samples], axis=1), RATE_HZ)

    dataset = read_dataset(write_classes(tmp_path, write), min_clips=2)
    assert len(dataset.clips) == 6
    (warning,) = dataset.warnings
    assert "and 5 more: the channels cancel each other" in warning
    assert "source.channel" in warning
    assert read_dataset(tmp_path, min_clips=2, channel=0).warnings == []


def test_B35_channels_that_cancel_entirely_are_no_dead_microphone(tmp_path):
    def write(path, samples):
        soundfile.write(path, np.stack([samples, -samples], axis=1), RATE_HZ)

    with pytest.raises(DatasetError) as caught:
        read_dataset(write_classes(tmp_path, write), min_clips=2)
    assert "left out: 6 files, such as " in str(caught.value)
    assert ": has channels that cancel each other" in str(caught.value)
    assert "--set source.channel=" in str(caught.value)


def test_a_dead_channel_is_a_note(tmp_path):
    def write(path, samples):
        soundfile.write(path, np.stack([samples, 0 * samples], axis=1), RATE_HZ)

    dataset = read_dataset(write_classes(tmp_path, write), min_clips=2, is_strict=True)
    assert len(dataset.clips) == 6
    assert dataset.warnings == []
    assert any("channel 1" in note for note in dataset.notes)


def test_B34_floats_in_the_range_of_integers_are_left_out_by_that_name(tmp_path):
    def write(path, samples):
        soundfile.write(path, samples * 32768, RATE_HZ, subtype="FLOAT")

    with pytest.raises(DatasetError, match=r"6 files, such as .*: holds floats beyond a full scale"):
        read_dataset(write_classes(tmp_path, write), min_clips=2)


def test_strict_takes_recordings_of_unknown_length(tmp_path):
    def write(path, samples):
        path.write_bytes(wav(np.rint(samples * 20000), riff_bytes=0xFFFFFFFF, data_bytes=0xFFFFFFFF))

    dataset = read_dataset(write_classes(tmp_path, write), min_clips=2, is_strict=True)
    assert [clip.duration_s for clip in dataset.clips] == [1.0] * 6


@pytest.mark.parametrize("file_format", ["FLAC", "FLAC that does not know its length", "WAV", "MP3", "OGG"])
@pytest.mark.parametrize("n_times", [1, 2])
def test_B29_a_long_background_is_used_over_its_whole_length(tmp_path, file_format, n_times):
    file = io.BytesIO()
    with soundfile.SoundFile(file, "w", RATE_HZ, 1, format=file_format.split()[0]) as recording:
        for _ in range(400):  # a Vorbis encoder dies of more at once
            recording.write(sound(5, 1.0))
    data = bytearray(file.getvalue())
    if "not know" in file_format:
        data[21:26] = bytes([data[21] & 0xF0]) + bytes(4)
    path = tmp_path / "room"
    path.write_bytes(bytes(data) * n_times)
    (entry,) = background_entries([path], Findings())
    assert len(entry.segments) == 60
    assert entry.segments[-1].offset_s == pytest.approx(400 * n_times, abs=0.5)


@pytest.mark.parametrize("file_format", ["WAV", "FLAC"])
def test_examining_block_by_block_hashes_the_same_sound(tmp_path, file_format):
    samples = np.round(sound(3) * 2**15) / 2**15
    soundfile.write(tmp_path / "a", samples, RATE_HZ, format=file_format, subtype="PCM_16")
    soundfile.write(tmp_path / "b", samples, RATE_HZ, format="AIFF", subtype="PCM_24")
    assert examine(tmp_path / "a").sha256 == examine(tmp_path / "b").sha256
