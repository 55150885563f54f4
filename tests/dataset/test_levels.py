"""Folders that are a level above or below the classes are noticed."""

import pytest

from streamgmm.dataset.dataset import read_dataset
from streamgmm.dataset.listing import DatasetError
from tests.dataset.dataset_rig import write_classes, write_recording


def write_parts(root, *parts):
    for i_part, part in enumerate(parts):
        for i_label, label in enumerate(("siren", "dog")):
            for i_clip in range(2):
                write_recording(root / part / label / f"{i_clip}.wav", 100 * i_part + 10 * i_label + i_clip)
    return root


@pytest.mark.parametrize(
    "parts",
    [
        *(
            ("train", "test"),
            ("Train", "Test"),
            ("training", "validation", "testing"),
            ("train", "val"),
            ("dev", "eval"),
        ),
        *(("fold1", "fold2", "fold3"), ("fold_1", "fold_2"), ("split 1", "split 2"), ("cv1", "cv2"), ("train",)),
        *(("audio",), ("wav",), ("data",), ("recordings",), ("train_set", "test_set"), ("set1", "set2")),
    ],
)
def test_B40_parts_of_a_data_set_are_refused_as_classes(tmp_path, parts):
    with pytest.raises(DatasetError, match="below") as caught:
        read_dataset(write_parts(tmp_path, *parts))
    assert "'dog' and 'siren'" in str(caught.value)
    assert f"streamgmm train {tmp_path / parts[0]} -o MODEL" in str(caught.value)


def test_the_way_out_names_the_part_to_test_on_and_works(tmp_path):
    with pytest.raises(DatasetError) as caught:
        read_dataset(write_parts(tmp_path, "val", "train", "test"))
    assert f"streamgmm evaluate {tmp_path / 'test'} --model MODEL" in caught.value.hint
    assert read_dataset(tmp_path / "train").labels == ["dog", "siren"]


def test_background_beside_the_parts_changes_nothing(tmp_path):
    write_recording(tmp_path / "background" / "room.wav", 900)
    with pytest.raises(DatasetError, match="'test' and 'train' are parts"):
        read_dataset(write_parts(tmp_path, "train", "test"))


def test_an_unlabelled_test_part_does_not_hide_the_other(tmp_path):
    write_recording(tmp_path / "test" / "0.wav", 900)
    with pytest.raises(DatasetError, match="'siren' below"):
        read_dataset(write_parts(tmp_path, "train"))


@pytest.mark.parametrize("name", ["test", "train", "audio", "fold1", "data"])
def test_a_class_of_that_name_with_its_recordings_in_it_is_one(tmp_path, name):
    dataset = read_dataset(write_classes(tmp_path, name, "dog"))
    assert (dataset.labels, dataset.warnings, dataset.notes) == (sorted(["dog", name]), [], [])


def test_classes_that_are_all_called_so_are_warned_of(tmp_path):
    (warning,) = read_dataset(write_classes(tmp_path, "train", "test")).warnings
    assert "'test' and 'train'" in warning


def test_one_part_among_classes_is_warned_of(tmp_path):
    write_classes(tmp_path, "owl")
    warnings = read_dataset(write_parts(tmp_path, "train")).warnings
    assert f"name {tmp_path / 'train'} as the data set" in warnings[0]


@pytest.mark.parametrize("speakers", [("anna", "bob"), ("spk01", "spk02"), ("kitchen", "hall", "yard")])
def test_labels_below_speakers_or_rooms_are_warned_of(tmp_path, speakers):
    (warning,) = read_dataset(write_parts(tmp_path, *speakers)).warnings
    assert "all hold the folders 'dog' and 'siren'" in warning


@pytest.mark.parametrize("sessions", [("day1", "day2"), ("train", "test"), ("2024-05-01", "2024-05-02"), ("1", "2")])
def test_sessions_below_classes_are_noted(tmp_path, sessions):
    for i_label, label in enumerate(("siren", "dog")):
        for i_session, session in enumerate(sessions):
            write_recording(tmp_path / label / session / "0.wav", 10 * i_label + i_session)
    dataset = read_dataset(tmp_path)
    assert (dataset.labels, dataset.warnings) == (["dog", "siren"], [])
    assert "which are used together" in dataset.notes[0]


def test_folders_that_only_some_classes_have_are_nothing_special(tmp_path):
    write_classes(tmp_path, "siren", "dog")
    write_recording(tmp_path / "dog" / "garden" / "0.wav", 50)
    dataset = read_dataset(tmp_path)
    assert (dataset.warnings, dataset.notes) == ([], [])
