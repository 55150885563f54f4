from __future__ import annotations

import threading
from pathlib import Path

import msgspec
import numpy as np
import pytest

from streamgmm.audio.reading import RecordingError
from streamgmm.dataset.backgrounds import background_recordings
from streamgmm.dataset.listing import Findings, Skipped
from streamgmm.demo.recordings import write_wav
from streamgmm.errors import DataError
from streamgmm.listening.events import Annotation
from streamgmm.listening.tracks import ScoredRecording
from streamgmm.model.file import load_model
from streamgmm.settings.config import Config
from streamgmm.settings.training import TrainingSection
from streamgmm.tuning.recordings import (
    annotations_of,
    claimed_s,
    recordings_with_events,
    score_recordings,
)
from tests.training.training_rig import make_clip, make_dataset

RATE_HZ = 16000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    (tmp_path / "yard" / "night").mkdir(parents=True)
    for name, seconds in (("a.wav", 2), ("night/b.wav", 3)):
        noise = 0.1 * rng.standard_normal(seconds * RATE_HZ)
        write_wav(tmp_path / "yard" / name, noise.astype(np.float32), RATE_HZ)
    return tmp_path / "yard"


def test_places_are_files_and_all_that_lies_below_folders_each_once(folder):
    (folder / "readme.md").write_text("what this is")
    (folder / "link.wav").symlink_to(folder / "a.wav")
    findings = Findings()
    paths = background_recordings([folder / "a.wav", folder], findings)
    assert paths == [folder / "a.wav", folder / "night" / "b.wav"]
    assert findings.skipped == [Skipped(folder / "link.wav", "symlink")]


def test_a_named_file_must_open_and_a_folder_hold_something(tmp_path):
    (tmp_path / "text.wav").write_text("no sound")
    with pytest.raises(RecordingError, match="is not a recording"):
        background_recordings([tmp_path / "text.wav"], Findings())
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no recordings"):
        background_recordings([tmp_path / "empty"], Findings())


def test_the_length_is_known_before_anything_is_decoded(folder, tmp_path):
    paths = [folder / "a.wav", folder / "night" / "b.wav", tmp_path / "none.wav"]
    assert claimed_s(paths) == pytest.approx(5.0)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_all_recordings_are_scored_in_order_with_any_number_of_processes(folder, demo_model, n_jobs):
    (folder / "broken.wav").write_text("no sound")
    paths = [folder / "night" / "b.wav", folder / "broken.wav", folder / "a.wav"]
    n_threads = threading.active_count()
    seconds: list[float] = []
    config = Config(training=TrainingSection(n_jobs=n_jobs))
    first, broken, last = score_recordings(paths, load_model(demo_model), config, seconds.append)
    assert isinstance(first, ScoredRecording)
    assert isinstance(last, ScoredRecording)
    assert (first.end_sample, last.end_sample) == (3 * RATE_HZ, 2 * RATE_HZ)
    assert broken == Skipped(paths[1], "not_audio")
    assert sum(seconds) == pytest.approx(5.0)
    assert threading.active_count() == n_threads


def test_a_recording_of_less_than_a_sample_is_left_out(tmp_path, demo_model):
    write_wav(tmp_path / "click.wav", np.full(1, 0.5), 3 * RATE_HZ)
    (heard,) = score_recordings([tmp_path / "click.wav"], load_model(demo_model), Config(), lambda seconds: None)
    assert heard == Skipped(tmp_path / "click.wav", "empty")


def test_truths_are_whole_clips_or_stretches_and_never_background():
    whole = make_clip("siren", 0)
    stretch = msgspec.structs.replace(whole, onset_s=1.5, offset_s=2.5)
    truths = annotations_of([whole, stretch, make_clip("background", 0)])
    assert truths == [Annotation("siren", 0.0, 1.0), Annotation("siren", 1.5, 2.5)]


def test_annotations_need_labels_of_the_model(demo_model):
    model = load_model(demo_model)
    known = make_dataset([make_clip("siren", 0), make_clip("background", 0)])
    assert [truths for _, truths in recordings_with_events(known, model)] == [[Annotation("siren", 0.0, 1.0)]]
    with pytest.raises(DataError, match="does not have: 'owl'"):
        recordings_with_events(make_dataset([make_clip("owl", 0)]), model)
    with pytest.raises(DataError, match="holds no event"):
        recordings_with_events(make_dataset([make_clip("background", 0)]), model)
