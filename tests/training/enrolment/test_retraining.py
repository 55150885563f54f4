"""Reviewed clips: which of them are new, what of them is learnt, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile

from streamgmm.clips.info import ClipInfo
from streamgmm.dataset.dataset import read_dataset
from streamgmm.dataset.listing import Findings
from streamgmm.errors import DataError, InputMissingError
from streamgmm.model.file import model_bytes
from streamgmm.training.enrolment.enrolment import enrol, new_clips
from streamgmm.training.enrolment.retraining import retrain, reviewed_clips
from streamgmm.training.enrolment.training_cache import make_cache
from streamgmm.training.trainer import train
from tests.clips.clip_rig import make_clip
from tests.training.training_rig import RATE_HZ, SOUND_LABELS, quick_config, write_sounds

CONFIG = quick_config(cepstra="never", n_noise_copies=0)


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    """A model of three classes, and its cache."""
    training = train(read_dataset(write_sounds(tmp_path_factory.mktemp("known"))), CONFIG, name="yard")
    return training.model, make_cache(training.clips, training.task, has_cepstra=False)


@pytest.fixture
def heard(tmp_path: Path) -> Path:
    """Four clips of a label that the model does not know."""
    write_sounds(tmp_path / "accepted", ["doorbell"])
    return tmp_path


def write_clip(folder: Path, name: str, label: str, duration_s: float = 2.0, **info: float) -> None:
    (folder / label).mkdir(parents=True, exist_ok=True)
    samples = 0.1 * np.random.default_rng(sum(map(ord, name))).standard_normal(round(duration_s * RATE_HZ))
    soundfile.write(folder / label / f"{name}.flac", samples, RATE_HZ)
    if info:
        record = msgspec.json.decode(make_clip().describe(), type=ClipInfo)
        record = msgspec.structs.replace(record, label=label, duration_s=duration_s, **info)
        (folder / label / f"{name}.json").write_bytes(msgspec.json.encode(record))


def reviewed(directory: Path, known, findings: Findings | None = None):
    model, cache = known
    return reviewed_clips(directory, model, cache, findings or Findings())


def test_clips_of_all_labels_are_learnt_at_once_and_not_twice(heard, known):
    write_clip(heard / "accepted", "bark", "footsteps")
    write_clip(heard / "accepted", "knock", "background")
    model, cache = known
    clips = reviewed(heard, known).new
    change = retrain(model, cache, clips, Findings(), n_jobs=1)
    assert change.model.labels == ("background", "bird_song", "doorbell", "footsteps", "phone_ring")
    assert change.model.card["n_clips"] == {
        "background": 1,
        "bird_song": 4,
        "doorbell": 4,
        "footsteps": 5,
        "phone_ring": 4,
    }
    assert reviewed(heard, (change.model, change.cache)) == ([], 6)


def test_of_a_new_label_alone_it_is_what_enrol_makes(heard, known):
    model, cache = known
    findings = Findings()
    clips = new_clips([heard / "accepted" / "doorbell"], "doorbell", cache, findings)
    enrolled = enrol(model, cache, "doorbell", clips, findings, n_jobs=1)
    change = retrain(model, cache, reviewed(heard, known).new, findings, n_jobs=1)
    assert model_bytes(change.model) == model_bytes(enrolled.model)


def test_of_an_event_the_sound_alone_is_learnt_and_of_the_background_the_whole_clip(tmp_path, known):
    for label in ("footsteps", "background"):
        write_clip(tmp_path / "accepted", f"short {label}", label, onset_s=0.5, offset_s=1.25)
    write_clip(tmp_path / "accepted", "cut at its end", "footsteps", onset_s=-0.25, offset_s=7.0)
    write_clip(tmp_path / "accepted", "of no length", "footsteps", onset_s=1.0, offset_s=1.0)
    write_clip(tmp_path / "accepted", "without a record", "footsteps")
    for name, onset_s in (("at its end", 2.0), ("beyond its end", 30.0)):
        write_clip(tmp_path / "accepted", name, "footsteps", onset_s=onset_s, offset_s=onset_s + 3.0)
    findings = Findings()
    spans = {clip.path.stem: (clip.onset_s, clip.offset_s) for clip in reviewed(tmp_path, known, findings).new}
    assert sum("ends before the event begins, left out" in warning for warning in findings.warnings) == 2
    assert spans == {
        "short footsteps": (0.5, 1.25),
        "short background": (None, None),
        "cut at its end": (0.0, 2.0),
        "of no length": (None, None),
        "without a record": (None, None),
    }


def test_copies_count_once_and_another_label_is_warned_of(heard, known):
    shutil.copy(heard / "accepted/doorbell/0.wav", heard / "accepted/doorbell/again.wav")
    shutil.copytree(heard / "accepted/doorbell", heard / "accepted/footsteps")
    findings = Findings()
    found = reviewed(heard, known, findings)
    assert (len(found.new), found.n_known) == (4, 1)
    assert len(findings.warnings) == 5
    assert all(warning.endswith("is already known as 'doorbell', left out") for warning in findings.warnings)


def test_a_new_label_waits_until_it_has_enough_clips_and_damaged_ones_are_left_out(heard, known):
    for number in range(2):
        (heard / "accepted/doorbell" / f"{number}.wav").write_text("no sound")
    write_clip(heard / "accepted", "bark", "footsteps")
    findings = Findings()
    clips = reviewed(heard, known, findings).new
    assert [skipped.path.name for skipped in findings.skipped] == ["0.wav", "1.wav"]
    model, cache = known
    change = retrain(model, cache, clips, findings, n_jobs=1)
    assert change.model.labels == SOUND_LABELS
    assert findings.warnings == ["'doorbell' is new and has 2 clips: left out until there are 3"]


def test_nothing_that_can_be_used_is_refused_with_the_reasons(heard, known):
    for number in range(3):
        (heard / "accepted/doorbell" / f"{number}.wav").write_text("no sound")
    findings = Findings()
    model, cache = known
    clips = reviewed(heard, known, findings).new
    with pytest.raises(DataError, match="no reviewed clip can be used") as caught:
        retrain(model, cache, clips, findings, n_jobs=1)
    assert "'doorbell' is new and has 1 clip: " in str(caught.value)
    assert "0.wav: is not a recording" in str(caught.value)


@pytest.mark.parametrize(
    ("label", "why"),
    [
        ("unknown", "'unknown' is an answer and not a class"),
        ("silence", "'silence' is an answer and not a class"),
        ("Footsteps", "labels 'footsteps' and 'Footsteps' differ only by case or Unicode form"),
    ],
)
def test_a_folder_that_is_no_class_is_left_out_by_name_and_the_others_are_learnt(heard, known, label, why):
    write_clip(heard / "accepted", "clip", label)
    findings = Findings()
    assert {clip.label for clip in reviewed(heard, known, findings).new} == {"doorbell"}
    (warning,) = findings.warnings
    assert warning.startswith(f"{heard / 'accepted' / label}: ")
    assert "left out; move its clips to the folder of a class" in warning
    assert set(why.split()) <= set(warning.replace(",", "").split())


def test_a_folder_whose_name_is_no_label_is_refused(heard, known):
    write_clip(heard / "accepted", "clip", "a?b")
    with pytest.raises(DataError, match="holds QUESTION MARK"):
        reviewed(heard, known)


def test_clips_that_nobody_has_reviewed_are_refused_with_a_hint(tmp_path, known):
    (tmp_path / "dog").mkdir()
    with pytest.raises(InputMissingError, match=r"there are no reviewed clips .*streamgmm review"):
        reviewed(tmp_path, known)
