import os
import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamgmm.dataset.checks import check_rivals
from streamgmm.dataset.dataset import common_rate_hz, read_dataset, warn_of_narrow_band
from streamgmm.dataset.listing import Skipped
from streamgmm.errors import DataError, InputMissingError, PermissionDeniedError
from tests.dataset.dataset_rig import RATE_HZ, noise, write_classes, write_recording


def skipped_names(root, **options):
    return {path.relative_to(root).as_posix(): reason for path, reason in read_dataset(root, **options).skipped}


def test_a_folder_per_class(tmp_path):
    write_classes(tmp_path, "dog", "cat")
    dataset = read_dataset(tmp_path)
    assert (dataset.kind, dataset.labels, dataset.path) == ("folders", ["cat", "dog"], tmp_path)
    assert [(clip.label, clip.path.relative_to(tmp_path).as_posix(), clip.source_id) for clip in dataset.clips] == [
        ("cat", "cat/0.wav", "cat/0.wav"),
        ("cat", "cat/1.wav", "cat/1.wav"),
        ("dog", "dog/0.wav", "dog/0.wav"),
        ("dog", "dog/1.wav", "dog/1.wav"),
    ]
    assert {(clip.onset_s, clip.offset_s, clip.duration_s, clip.fold) for clip in dataset.clips} == {
        (None, None, 0.1, None)
    }
    assert (dataset.skipped, dataset.warnings, dataset.notes) == ([], [], [])


def test_reading_twice_gives_the_same(tmp_path):
    write_classes(tmp_path, "dog", "cat", n_clips=5)
    assert read_dataset(tmp_path) == read_dataset(tmp_path)


def test_progress_counts_every_recording(tmp_path):
    write_classes(tmp_path, "dog", "cat")
    (tmp_path / "cat" / "broken.wav").write_bytes(b"RIFF")
    counts: list[int] = []
    read_dataset(tmp_path, on_progress=counts.append)
    assert counts == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "empty"), (b"R", "not_audio"), ("header", "empty")],
    ids=["no byte", "one byte", "header only"],
)
def test_B1_files_without_sound_are_skipped(tmp_path, content, reason):
    write_classes(tmp_path, "dog", "cat")
    if content == "header":
        soundfile.write(tmp_path / "dog" / "none.wav", np.zeros((0, 1)), RATE_HZ)
    else:
        (tmp_path / "dog" / "none.wav").write_bytes(content)
    assert skipped_names(tmp_path) == {"dog/none.wav": reason}


@pytest.mark.parametrize("n_samples", [1, 2, RATE_HZ // 100 - 1])
def test_B1_what_is_too_short_to_hold_a_sound_is_skipped(tmp_path, n_samples):
    write_classes(tmp_path, "dog", "cat")
    rng = np.random.default_rng(0)
    soundfile.write(tmp_path / "dog" / "tick.wav", rng.uniform(-0.2, 0.2, n_samples), RATE_HZ)
    soundfile.write(tmp_path / "dog" / "tock.wav", rng.uniform(-0.2, 0.2, RATE_HZ // 100), RATE_HZ)
    assert skipped_names(tmp_path) == {"dog/tick.wav": "too_short"}


def test_B1_a_class_that_is_left_with_too_few_is_refused(tmp_path):
    write_classes(tmp_path, "dog", "cat")
    (tmp_path / "dog" / "1.wav").write_bytes(b"")
    with pytest.raises(DataError, match=r"'dog' has 1 usable .* needs 2") as caught:
        read_dataset(tmp_path)
    assert caught.value.exit_code == 65
    assert f"left out: {tmp_path / 'dog' / '1.wav'}: holds no sound" in str(caught.value)


def truncate(path):
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def test_B2_a_truncated_recording_is_used_with_a_warning(tmp_path):
    write_classes(tmp_path, "dog", "cat")
    truncate(tmp_path / "dog" / "1.wav")
    dataset = read_dataset(tmp_path)
    assert [clip.duration_s < 0.06 for clip in dataset.clips] == [False, False, False, True]
    assert len(dataset.warnings) == 1
    assert "dog/1.wav" in dataset.warnings[0]


def test_B2_warnings_are_reported_when_the_data_set_is_refused(tmp_path):
    write_classes(tmp_path, "dog")
    truncate(tmp_path / "dog" / "1.wav")
    (tmp_path / "owl").mkdir()
    with pytest.raises(DataError, match="class 'owl' has 0 usable clips") as caught:
        read_dataset(tmp_path)
    last_line = str(caught.value).splitlines()[-1]
    assert "warning: " in last_line
    assert "1.wav" in last_line


def test_B2_strict_leaves_a_truncated_recording_out(tmp_path):
    write_classes(tmp_path, "dog", "cat", n_clips=3)
    truncate(tmp_path / "dog" / "1.wav")
    assert skipped_names(tmp_path, is_strict=True) == {"dog/1.wav": "damaged"}


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n" + bytes(100), b"hello, world\n" * 9, b"\x7fELF" + bytes(99)])
def test_B9_what_is_no_audio_is_refused_by_content(tmp_path, content):
    write_classes(tmp_path, "dog", "cat")
    (tmp_path / "dog" / "fake.wav").write_bytes(content)
    assert skipped_names(tmp_path) == {"dog/fake.wav": "not_audio"}


def test_B10_a_sparse_file_of_ten_gigabytes_is_refused_unread(tmp_path):
    write_classes(tmp_path, "dog", "cat")
    shutil.copy(tmp_path / "dog" / "0.wav", tmp_path / "dog" / "sparse.wav")
    with (tmp_path / "dog" / "sparse.wav").open("r+b") as file:
        file.truncate(10 * 2**30)
    assert skipped_names(tmp_path) == {"dog/sparse.wav": "too_large"}


def test_B13_an_unreadable_recording_is_skipped(tmp_path, monkeypatch):
    write_classes(tmp_path, "dog", "cat", n_clips=3)
    deny(monkeypatch, "streamgmm.audio.regular.os.open", tmp_path / "dog" / "1.wav")
    assert skipped_names(tmp_path) == {"dog/1.wav": "denied"}


def test_B13_an_unreadable_class_is_refused_by_name(tmp_path, monkeypatch):
    write_classes(tmp_path, "dog", "cat")
    deny(monkeypatch, "streamgmm.dataset.scan.os.scandir", tmp_path / "dog")
    with pytest.raises(DataError, match="class 'dog' has 0 usable") as caught:
        read_dataset(tmp_path)
    assert f"left out: {tmp_path / 'dog'}: cannot be read" in str(caught.value)


def test_B13_an_unreadable_root_is_a_matter_of_permission(tmp_path, monkeypatch):
    deny(monkeypatch, "streamgmm.dataset.scan.os.scandir", tmp_path)
    with pytest.raises(PermissionDeniedError) as caught:
        read_dataset(tmp_path)
    assert caught.value.exit_code == 77


def deny(monkeypatch, function, forbidden):
    """Let a function of the operating system refuse one path: root may read it whatever its mode."""
    original = getattr(os, function.rsplit(".", 1)[1])

    def refuse(path, *arguments, **options):
        if Path(path) == forbidden:
            raise PermissionError(13, "Permission denied")
        return original(path, *arguments, **options)

    monkeypatch.setattr(function, refuse)


def test_a_missing_path_has_its_own_exit_code(tmp_path):
    with pytest.raises(InputMissingError) as caught:
        read_dataset(tmp_path / "nowhere")
    assert caught.value.exit_code == 66


@pytest.mark.parametrize("name", ["x" * 300, "a\0b"])
def test_a_path_that_cannot_exist_is_missing(tmp_path, name):
    with pytest.raises(InputMissingError):
        read_dataset(tmp_path / name)


def test_a_single_recording_is_no_data_set(tmp_path):
    with pytest.raises(DataError, match="is not a data set"):
        read_dataset(write_recording(tmp_path / "dog.wav", 1))


def test_B14_a_recording_that_vanishes_after_the_scan_is_skipped(tmp_path):
    write_classes(tmp_path, "dog", "cat", n_clips=3)
    last = tmp_path / "dog" / "2.wav"
    dataset = read_dataset(tmp_path, on_progress=lambda n: last.unlink() if n == 4 else None)
    assert dataset.skipped == [Skipped(last, "vanished")]


def test_B15_no_class(tmp_path):
    with pytest.raises(DataError, match="there is no class"):
        read_dataset(tmp_path)


def test_B15_recordings_without_folders(tmp_path):
    write_recording(tmp_path / "a.wav", 1)
    with pytest.raises(DataError, match="there is no class") as caught:
        read_dataset(tmp_path)
    assert f"left out: {tmp_path / 'a.wav'}: is not in the folder of a class" in str(caught.value)


def test_B15_one_class_is_a_data_set(tmp_path):
    write_classes(tmp_path, "dog")
    assert read_dataset(tmp_path).labels == ["dog"]


@pytest.mark.parametrize(
    ("labels", "has_world", "is_allowed"),
    [
        (["dog"], False, False),
        (["dog", "silence"], False, False),
        (["dog", "unknown"], False, False),
        (["dog"], True, True),
        (["background", "dog"], False, True),
        (["cat", "dog"], False, True),
    ],
)
def test_B15_a_class_is_told_from_something(labels, has_world, is_allowed):
    if is_allowed:
        check_rivals(labels, has_world=has_world)
        return
    with pytest.raises(DataError, match="one class only, 'dog'") as caught:
        check_rivals(labels, has_world=has_world, reasons=["world.ogg is cut"])
    assert "world.ogg is cut" in str(caught.value)


def test_B15_one_class_and_a_background_are_enough(tmp_path):
    write_classes(tmp_path, "dog", "background")
    assert read_dataset(tmp_path).labels == ["background", "dog"]


def test_B15_a_background_alone_is_not(tmp_path):
    write_classes(tmp_path, "background")
    with pytest.raises(DataError, match="there is no class"):
        read_dataset(tmp_path)


def test_B15_every_empty_class_is_named(tmp_path):
    write_classes(tmp_path, "dog")
    (tmp_path / "cat").mkdir()
    (tmp_path / "owl" / "nested").mkdir(parents=True)
    with pytest.raises(DataError) as caught:
        read_dataset(tmp_path)
    assert [line.split(": ", 1)[1] for line in str(caught.value).splitlines()] == [
        "class 'cat' has 0 usable clips that differ, but needs 2; add recordings, or leave the class out",
        "class 'owl' has 0 usable clips that differ, but needs 2; add recordings, or leave the class out",
    ]


def test_B16_a_class_with_one_clip_is_refused_unless_allowed(tmp_path):
    write_classes(tmp_path, "dog", "cat")
    (tmp_path / "cat" / "1.wav").unlink()
    with pytest.raises(DataError, match="'cat' has 1"):
        read_dataset(tmp_path)
    assert len(read_dataset(tmp_path, min_clips=1).clips) == 3


def test_B16_one_recording_of_the_background_is_enough(tmp_path):
    write_classes(tmp_path, "dog")
    write_recording(tmp_path / "background" / "night.wav", 77)
    assert len(read_dataset(tmp_path).clips) == 3


def test_B18_copies_of_one_recording_count_once(tmp_path):
    write_classes(tmp_path, "dog", "cat")
    for i_copy in range(50):
        shutil.copy(tmp_path / "cat" / "0.wav", tmp_path / "cat" / f"copy{i_copy}.wav")
    (tmp_path / "cat" / "1.wav").unlink()
    with pytest.raises(DataError, match="'cat' has 1 usable clips that differ"):
        read_dataset(tmp_path)


def test_B19_a_recording_of_one_value_is_left_out(tmp_path):
    write_classes(tmp_path, "dog", "cat")
    soundfile.write(tmp_path / "dog" / "zeros.wav", np.zeros(800), RATE_HZ)
    soundfile.write(tmp_path / "dog" / "stuck.wav", np.full(800, 0.25), RATE_HZ)
    soundfile.write(tmp_path / "dog" / "nan.wav", np.full(800, np.nan, np.float32), RATE_HZ, subtype="FLOAT")
    assert skipped_names(tmp_path) == {
        "dog/nan.wav": "nonfinite",
        "dog/stuck.wav": "constant",
        "dog/zeros.wav": "constant",
    }


def test_B20_the_same_sound_in_two_classes_is_named(tmp_path):
    write_classes(tmp_path, "dog", "cat", n_clips=3)
    shutil.copy(tmp_path / "cat" / "0.wav", tmp_path / "dog" / "again.wav")
    (warning,) = read_dataset(tmp_path).warnings
    assert "cat/0.wav" in warning
    assert "dog/again.wav" in warning
    assert "labelled 'cat' and 'dog'" in warning


def test_B20_strict_refuses_the_same_sound_in_two_classes(tmp_path):
    write_classes(tmp_path, "dog", "cat", n_clips=3)
    shutil.copy(tmp_path / "cat" / "0.wav", tmp_path / "dog" / "again.wav")
    with pytest.raises(DataError, match="contain the same sound") as caught:
        read_dataset(tmp_path, is_strict=True)
    assert caught.value.exit_code == 65


def test_B20_copies_in_one_class_are_one_source_whatever_their_format(tmp_path):
    write_classes(tmp_path, "dog", "cat", n_clips=3)
    samples, rate_hz = soundfile.read(tmp_path / "cat" / "0.wav", dtype="int16")
    soundfile.write(tmp_path / "cat" / "copy.flac", samples, rate_hz)
    dataset = read_dataset(tmp_path)
    sources = {clip.path.name: clip.source_id for clip in dataset.clips if clip.label == "cat"}
    assert sources == {"0.wav": "cat/0.wav", "1.wav": "cat/1.wav", "2.wav": "cat/2.wav", "copy.flac": "cat/0.wav"}
    assert len(dataset.warnings) == 1


def test_B20_warnings_stay_few(tmp_path):
    write_classes(tmp_path, "dog", "cat")
    for i_copy in range(30):
        shutil.copy(tmp_path / "cat" / "0.wav", tmp_path / "cat" / f"copy{i_copy}.wav")
    warnings = read_dataset(tmp_path).warnings
    assert len(warnings) == 21
    assert warnings[-1] == "and 10 more like these"


def test_B23_rates_are_counted_and_the_most_frequent_one_found(tmp_path):
    write_classes(tmp_path, "dog", "cat")
    write_recording(tmp_path / "dog" / "hifi.wav", 9, rate_hz=44100)
    dataset = read_dataset(tmp_path)
    assert common_rate_hz(dataset) == RATE_HZ
    assert dataset.notes == ["recordings differ in sample rate and are resampled to one: 4 at 8000 Hz, 1 at 44100 Hz"]


def test_B23_of_equally_frequent_rates_the_lower_is_taken(tmp_path):
    write_classes(tmp_path, "dog")
    for i_clip in range(2):
        write_recording(tmp_path / "cat" / f"{i_clip}.wav", 50 + i_clip, rate_hz=44100)
    assert common_rate_hz(read_dataset(tmp_path)) == RATE_HZ


def test_B23_classes_recognisable_by_their_narrow_band_are_named(tmp_path):
    write_classes(tmp_path, "dog", "cat")
    for i_clip in range(2):
        write_recording(tmp_path / "cow" / f"{i_clip}.wav", 50 + i_clip, rate_hz=44100)
    write_recording(tmp_path / "cat" / "hifi.wav", 9, rate_hz=44100)
    dataset = read_dataset(tmp_path)
    assert warn_of_narrow_band(dataset, RATE_HZ).warnings == dataset.warnings == []
    (warning,) = warn_of_narrow_band(dataset, 44100).warnings
    assert warning.startswith("no recording of 'dog' has more than 8000 Hz, the model has 44100 Hz: ")


def test_a_model_of_a_higher_rate_than_all_recordings_recognises_no_class_by_its_band(tmp_path):
    assert warn_of_narrow_band(read_dataset(write_classes(tmp_path, "dog", "cat")), 44100).warnings == []


def test_the_channel_that_is_asked_for_must_exist(tmp_path):
    write_classes(tmp_path, "dog", "cat")
    soundfile.write(tmp_path / "cat" / "stereo.wav", noise(5, n_channels=2), RATE_HZ)
    with pytest.raises(DataError) as caught:
        read_dataset(tmp_path, channel=1)
    assert f"left out: 4 files, such as {tmp_path / 'cat' / '0.wav'}: does not have this channel" in str(caught.value)


def test_B26_many_recordings_need_little_memory(tmp_path):
    write_classes(tmp_path, "dog", "cat")
    long = write_recording(tmp_path / "dog" / "long.wav", 3, duration_s=30.0)
    for i_copy in range(300):
        (tmp_path / "dog" / f"copy{i_copy}.wav").hardlink_to(long if i_copy % 50 == 0 else tmp_path / "cat" / "0.wav")
    tracemalloc.start()
    read_dataset(tmp_path)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # One recording of 30 s is 0.96 MB as float32, and is held about three times while it is read.
    assert peak_bytes < 6e6
