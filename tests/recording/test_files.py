"""Files of takes: numbered, whole, and none in the place of another."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamgmm.audio.encoding import FileFormat
from streamgmm.errors import CannotCreateError, DataError, OutputError, PermissionDeniedError, UsageError
from streamgmm.label_folders import folder_for
from streamgmm.recording.files import refuse_reserved, save_take
from streamgmm.recording.takes import Take
from tests.other_user import as_ordinary_user, shared_folder
from tests.recording.recording_rig import RATE_HZ, room

TAKE = Take(room(0.5), RATE_HZ, -70.0)


@pytest.mark.parametrize("file_format", ["wav", "flac"])
def test_a_take_is_what_a_training_reads(tmp_path: Path, file_format: FileFormat) -> None:
    path = save_take(TAKE, folder_for(tmp_path, "smoke alarm"), file_format)
    assert path == tmp_path / "smoke alarm" / f"smoke alarm_001.{file_format}"
    samples, rate_hz = soundfile.read(path, dtype="float32")
    assert rate_hz == RATE_HZ
    np.testing.assert_allclose(samples, TAKE.samples, atol=0.6 / 32768)


def test_numbers_go_on_after_the_highest_whatever_else_is_there(tmp_path: Path) -> None:
    folder = folder_for(tmp_path, "dog")
    for name in ("dog_007.flac", "dog_x.wav", "cat_900.wav", "dog_12345678901.wav", "dog_²³.wav"):
        (folder / name).write_bytes(b"mine")
    assert [save_take(TAKE, folder, "wav").name for _ in range(2)] == ["dog_008.wav", "dog_009.wav"]
    assert (folder / "dog_007.flac").read_bytes() == b"mine"


def test_recorders_at_the_same_time_never_write_the_same_file(tmp_path: Path) -> None:
    folder = folder_for(tmp_path, "dog")
    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(lambda _: save_take(TAKE, folder, "wav"), range(40)))
    assert len(set(paths)) == 40
    assert len({path.stat().st_size for path in folder.iterdir()}) == 1


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_for(tmp_path, "dog")

    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OutputError, match="No space left on device"):
        save_take(TAKE, folder, "wav")
    assert list(folder.iterdir()) == []


def test_a_folder_that_vanishes_is_named(tmp_path: Path) -> None:
    folder = folder_for(tmp_path, "dog")
    folder.rmdir()
    with pytest.raises(CannotCreateError, match="dog"):
        save_take(TAKE, folder, "wav")


@pytest.mark.parametrize("label", ["a/b", "../x", "", "x" * 65, "-o", "a\nb"])
def test_what_is_no_label_is_no_folder(tmp_path: Path, label: str) -> None:
    with pytest.raises(DataError):
        folder_for(tmp_path, label)
    assert list(tmp_path.iterdir()) == []


def test_no_folder_is_made_beside_that_of_a_label_that_differs_only_by_case(tmp_path: Path) -> None:
    folder_for(tmp_path, "dog")
    for _ in range(2):
        with pytest.raises(DataError, match="differ only by case"):
            folder_for(tmp_path, "Dog")
    assert folder_for(tmp_path, "dog") == tmp_path / "dog"
    assert [path.name for path in tmp_path.iterdir()] == ["dog"]


@pytest.mark.parametrize("label", [".", "..", ".hidden"])
def test_a_hidden_folder_would_never_be_trained(tmp_path: Path, label: str) -> None:
    with pytest.raises(UsageError, match="hidden"):
        folder_for(tmp_path, label)


@pytest.mark.parametrize(
    ("label", "words"), [("background", "--background"), ("unknown", "reserved"), ("silence", "reserved")]
)
def test_reserved_labels_are_refused(label: str, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        refuse_reserved(label)


def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_recorded(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(CannotCreateError, match="file"):
        folder_for(tmp_path / "file", "dog")
    with shared_folder() as folder, as_ordinary_user(), pytest.raises(PermissionDeniedError):
        folder_for(folder, "dog")
