"""Folders named like reserved labels, or like synonyms of them."""

import numpy as np
import pytest
import soundfile

from streamgmm.dataset.dataset import read_dataset
from streamgmm.errors import DataError
from tests.dataset.dataset_rig import RATE_HZ, write_classes, write_recording


@pytest.mark.parametrize("label", ["silence", "unknown", "_silence_", "_unknown_"])
@pytest.mark.parametrize("content", ["zeros", "nothing", "one"])
def test_B44_a_reserved_label_without_usable_recordings_is_left_out_with_a_note(tmp_path, label, content):
    write_classes(tmp_path, "dog", "cat")
    (tmp_path / label).mkdir()
    if content == "one":
        write_recording(tmp_path / label / "0.wav", 50)
    elif content == "zeros":
        for i in range(3):
            soundfile.write(tmp_path / label / f"{i}.wav", np.zeros(800), RATE_HZ)
    dataset = read_dataset(tmp_path)
    assert (dataset.labels, {clip.label for clip in dataset.clips}) == (["cat", "dog"], {"cat", "dog"})
    assert any(f"'{label.strip('_')}' has too few usable recordings" in note for note in dataset.notes)


def test_silence_that_holds_the_sound_of_a_room_is_learnt_like_any_reserved_label(tmp_path):
    assert read_dataset(write_classes(tmp_path, "dog", "cat", "silence")).labels == ["cat", "dog", "silence"]


def test_a_background_without_usable_recordings_is_refused(tmp_path):
    write_classes(tmp_path, "dog", "cat")
    (tmp_path / "background").mkdir()
    with pytest.raises(DataError, match="'background' has 0"):
        read_dataset(tmp_path)


@pytest.mark.parametrize(
    ("name", "label"),
    [("_background_noise_", "background"), ("_silence_", "silence"), ("_unknown_", "unknown")],
)
@pytest.mark.parametrize("kind", ["folders", "manifest", "events"])
def test_B44_names_of_speech_commands_mean_the_reserved_labels(tmp_path, name, label, kind):
    write_classes(tmp_path, "dog", "cat", name)
    if kind == "manifest":
        rows = [f"{n}/{i}.wav,{n}\n" for n in ("dog", "cat", name) for i in range(2)]
        (tmp_path / "manifest.csv").write_text("path,label\n" + "".join(rows))
    elif kind == "events":
        rows = [f"{n}/{i}.wav\t0\t0.1\t{n}\n" for n in ("dog", "cat", name) for i in range(2)]
        (tmp_path / "events.tsv").write_text("".join(rows))
    dataset = read_dataset(tmp_path)
    assert dataset.labels == sorted(["cat", "dog", label])
    assert f"'{name}' is used as '{label}'" in dataset.notes


def test_both_names_of_the_background_go_together(tmp_path):
    dataset = read_dataset(write_classes(tmp_path, "dog", "background", "_background_noise_"))
    assert sum(clip.label == "background" for clip in dataset.clips) == 4


@pytest.mark.parametrize(
    "name", ["noise", "background_noise", "Background-Noise", "ambient", "other", "none", "_noise_"]
)
def test_a_class_that_may_be_meant_to_be_ignored_is_hinted_at_and_stays_one(tmp_path, name):
    dataset = read_dataset(write_classes(tmp_path, "dog", name))
    assert name in dataset.labels
    assert dataset.notes == [f"'{name}' is a class that makes events: call it 'background' if it should be ignored"]


@pytest.mark.parametrize("name", ["mother", "white noise machine", "silencer", "bedroom"])
def test_other_classes_are_not_hinted_at(tmp_path, name):
    assert read_dataset(write_classes(tmp_path, "dog", name)).notes == []
