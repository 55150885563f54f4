"""Files of systems and programs are not part of a data set, and no recordings are lost with them."""

import shutil

import pytest

from streamgmm.dataset.backgrounds import background_recordings
from streamgmm.dataset.dataset import read_dataset
from streamgmm.dataset.listing import DatasetError, Findings
from streamgmm.dataset.scan import recordings_below
from streamgmm.errors import DataError
from tests.dataset.dataset_rig import write_classes, write_recording

SYSTEM_FOLDERS = [
    *("@eaDir", "@tmp", "@Recycle", "@Recently-Snapshot", "#recycle", "#snapshot", "~snapshot", ".snapshot", ".zfs"),
    *("$RECYCLE.BIN", "$Recycle.Bin", "System Volume Information", "FOUND.000", "__MACOSX", ".AppleDouble"),
    *(".Trashes", ".Spotlight-V100", "lost+found", ".Trash-1000", "LOST.DIR", ".git", ".svn", ".hg", "__pycache__"),
    *(".ipynb_checkpoints", ".stversions", ".stfolder", ".dropbox.cache", ".sync", "node_modules", ".vscode"),
]
MAY_HOLD_RECORDINGS = [name for name in SYSTEM_FOLDERS if name not in ("System Volume Information", "__MACOSX")]


@pytest.mark.parametrize("name", SYSTEM_FOLDERS)
def test_B37_a_system_folder_is_passed_over_at_every_level(tmp_path, name):
    root = write_classes(tmp_path / "data", "dog", "cat")
    plain = read_dataset(root)
    for folder in (root / name, root / "dog" / name, root / "cat" / "garden" / name):
        folder.mkdir(parents=True)
        (folder / "._0.wav").write_bytes(b"x")
        (folder / "info.dat").write_bytes(b"x")
    assert read_dataset(root) == plain


@pytest.mark.parametrize("name", ["@eaDir", "#recycle", "$RECYCLE.BIN", ".Trash-1000", ".git", ".stversions"])
def test_what_was_deleted_or_is_an_old_version_is_not_learnt(tmp_path, name):
    root = write_classes(tmp_path / "data", "dog", "cat")
    plain = read_dataset(root)
    write_recording(root / name / "dog" / "deleted.wav", 70)
    write_recording(root / "dog" / name / "deleted.wav", 71)
    assert read_dataset(root) == plain


@pytest.mark.parametrize(
    "name",
    [
        *(".DS_Store", "Thumbs.db", "desktop.ini", "Desktop.ini", "ehthumbs.db", "._0.wav", "Icon\r", ".localized"),
        *("0.wav@SynoEAStream", "0.wav:Zone.Identifier", "~$notes.docx", "0.wav~", "0.wav.part", "0.wav.crdownload"),
        *(".~lock.notes.ods#", "#0.wav#", "0.wav.tmp", ".nfs0000000000a1b2c3", ".0.wav.swp"),
    ],
)
def test_files_of_systems_are_ignored_silently(tmp_path, name):
    root = write_classes(tmp_path / "data", "dog", "cat")
    (root / name).write_bytes(b"x")
    (root / "dog" / name).write_bytes(b"x")
    assert read_dataset(root).skipped == []


@pytest.mark.parametrize("name", ["@eaDir", "#recycle", "$RECYCLE.BIN", "__MACOSX", ".Trash-1000", "lost+found"])
def test_folders_of_recordings_for_enrol_tune_and_background_are_seen_in_the_same_way(tmp_path, name):
    wanted = write_recording(tmp_path / "room" / "1.wav", 1)
    write_recording(tmp_path / "room" / name / "2.wav", 2)
    assert list(recordings_below(tmp_path / "room", Findings())) == [wanted]
    assert background_recordings([tmp_path / "room"], Findings()) == [wanted]


@pytest.mark.parametrize("name", [".owl", ".owl.wav"])
def test_B37_hidden_recordings_are_left_out_and_reported(tmp_path, name):
    root = write_classes(tmp_path / "data", "dog", "cat")
    write_recording(root / name if name.endswith(".wav") else root / name / "0.wav", 70)
    assert [(path.name, reason) for path, reason in read_dataset(root).skipped] == [(name, "hidden")]


@pytest.mark.parametrize("name", ["CVS", "node_modules", "LOST.DIR", "FOUND.000"])
def test_recordings_under_a_name_that_could_be_a_label_are_left_out_and_reported(tmp_path, name):
    root = write_classes(tmp_path / "data", "dog", "cat")
    write_recording(root / name / "0.wav", 70)
    assert [(path.name, reason) for path, reason in read_dataset(root).skipped] == [(name, "system_folder")]


@pytest.mark.parametrize("name", ["@home", "#1", "$money", "~tilde"])
def test_a_class_that_cannot_be_one_is_refused_and_one_without_recordings_left_out(tmp_path, name):
    root = write_classes(tmp_path / "data", "dog", "cat")
    (root / name).mkdir()
    assert [(path.name, reason) for path, reason in read_dataset(root).skipped] == [(name, "system_folder")]
    shutil.copy(root / "dog" / "0.wav", root / name)
    with pytest.raises(DatasetError, match="rename"):
        read_dataset(root)


@pytest.mark.parametrize("name", ["recycle", "trash", "git", "cvs", "snapshot", "lost and found", "room.temp"])
def test_ordinary_words_stay_classes(tmp_path, name):
    assert name in read_dataset(write_classes(tmp_path, "dog", name)).labels


def test_a_folder_of_the_background_with_phone_recordings_alone_names_the_way_out(tmp_path):
    (tmp_path / "room").mkdir()
    (tmp_path / "room" / "night.m4a").write_bytes(b"x")
    with pytest.raises(DataError, match="holds no recordings") as caught:
        background_recordings([tmp_path / "room"], Findings())
    assert f"ffmpeg -i {tmp_path / 'room' / 'night.m4a'}" in str(caught.value)
