from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamgmm import units
from streamgmm.demo.recordings import render_background, render_clip, write_training_set, write_wav
from streamgmm.demo.sounds import SOUNDS
from streamgmm.errors import CannotCreateError, OutputError

RATE_HZ = 16000


def level_dbfs(samples: np.ndarray) -> float:
    return units.power_to_dbfs(float(np.mean(samples.astype(float) ** 2)))


@pytest.mark.parametrize("label", SOUNDS)
def test_a_clip_is_unclipped_at_a_recorder_s_level_and_loud_in_the_middle(label: str):
    for seed in range(3):
        clip = render_clip(label, np.random.default_rng(seed), RATE_HZ)
        assert clip.dtype == np.float32
        assert np.max(np.abs(clip)) <= 0.9001
        assert -40.0 <= level_dbfs(clip) <= -9.9
        edge = level_dbfs(clip[: RATE_HZ // 100])
        assert level_dbfs(clip[RATE_HZ // 4 : RATE_HZ]) > edge + 6


def test_clips_differ_in_level_and_length():
    clips = [render_clip("siren", np.random.default_rng(seed), RATE_HZ) for seed in range(8)]
    assert np.ptp([level_dbfs(clip) for clip in clips]) > 8
    assert len({len(clip) for clip in clips}) == len(clips)


def test_backgrounds_are_quiet_and_take_turns_in_kind():
    clips = [render_background(index, np.random.default_rng(index), RATE_HZ) for index in range(5)]
    assert all(-65.1 <= level_dbfs(clip) <= -34.9 for clip in clips)
    assert all(len(clip) == 3 * RATE_HZ for clip in clips)


@pytest.fixture(scope="module")
def training_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("training") / "sounds"
    write_training_set(folder, n_clips=2, seed=5, sample_rate_hz=RATE_HZ)
    return folder


def test_there_is_a_folder_per_label_with_its_clips(training_set: Path):
    assert {folder.name for folder in training_set.iterdir()} == {*SOUNDS, "background"}
    for folder in training_set.iterdir():
        assert len(list(folder.glob("*.wav"))) == 2


def test_clips_are_16_bit_mono_wav_files_and_all_different(training_set: Path):
    contents = set()
    for path in training_set.rglob("*.wav"):
        info = soundfile.info(path)
        assert (info.format, info.subtype, info.channels, info.samplerate) == ("WAV", "PCM_16", 1, RATE_HZ)
        contents.add(path.read_bytes())
    assert len(contents) == 2 * (len(SOUNDS) + 1)


def test_the_same_seed_writes_the_same_bytes_and_more_clips_keep_the_first(training_set: Path, tmp_path: Path):
    write_training_set(tmp_path / "again", n_clips=3, seed=5, sample_rate_hz=RATE_HZ)
    for path in training_set.rglob("*.wav"):
        assert (tmp_path / "again" / path.relative_to(training_set)).read_bytes() == path.read_bytes()


def test_another_seed_writes_other_sounds(training_set: Path, tmp_path: Path):
    write_training_set(tmp_path, n_clips=1, seed=6, sample_rate_hz=RATE_HZ)
    for path in tmp_path.rglob("*.wav"):
        assert (training_set / path.relative_to(tmp_path)).read_bytes() != path.read_bytes()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path):
    (tmp_path / "taken").write_text("a file, not a folder")
    with pytest.raises(CannotCreateError, match="taken"):
        write_training_set(tmp_path / "taken", n_clips=1, seed=0, sample_rate_hz=RATE_HZ)


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path):
    with pytest.raises(OutputError, match=r"missing.clip\.wav"):
        write_wav(tmp_path / "missing" / "clip.wav", np.zeros(10, np.float32), RATE_HZ)
