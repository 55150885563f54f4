import os
import unicodedata

import pytest

from streamgmm.dataset.dataset import read_dataset
from streamgmm.dataset.listing import DatasetError, Findings
from streamgmm.dataset.scan import recordings_below
from streamgmm.errors import DataError
from tests.dataset.dataset_rig import write_classes, write_recording


def reasons(dataset, root):
    return {path.relative_to(root).as_posix(): reason for path, reason in dataset.skipped}


def test_nested_folders_belong_to_their_class(tmp_path):
    write_classes(tmp_path, "dog", "cat")
    write_recording(tmp_path / "dog" / "garden" / "2024" / "a.wav", 70)
    clips = read_dataset(tmp_path).clips
    assert [clip.source_id for clip in clips if clip.label == "dog"] == [
        "dog/0.wav",
        "dog/1.wav",
        "dog/garden/2024/a.wav",
    ]


def test_recordings_come_in_order_of_name(tmp_path):
    for name in ("b/x.wav", "a/z.wav", "c.wav", "a/y.wav", "a/a/x.wav"):
        write_recording(tmp_path / name, 1)
    found = [path.relative_to(tmp_path).as_posix() for path in recordings_below(tmp_path, Findings())]
    assert found == ["c.wav", "a/y.wav", "a/z.wav", "a/a/x.wav", "b/x.wav"]


def test_metadata_and_hidden_files_are_passed_over(tmp_path):
    write_classes(tmp_path, "dog", "cat")
    for name in ("README", "LICENSE", "dog/notes.txt", "dog/licence.md", "cat/.DS_Store", "cat/Thumbs.db", "meta.json"):
        (tmp_path / name).write_text("text")
    (tmp_path / ".git").mkdir()
    assert read_dataset(tmp_path).skipped == []


def test_other_files_are_listed(tmp_path):
    write_classes(tmp_path, "dog", "cat")
    (tmp_path / "dog" / "photo.png").write_bytes(b"x")
    (tmp_path / "dog" / "voice.m4a").write_bytes(b"x")
    write_recording(tmp_path / "lost.wav", 80)
    assert reasons(read_dataset(tmp_path), tmp_path) == {
        "dog/photo.png": "not_audio",
        "dog/voice.m4a": "unsupported",
        "lost.wav": "outside_class",
    }


def test_B11_a_pipe_is_never_opened(tmp_path):
    write_classes(tmp_path, "dog", "cat")
    os.mkfifo(tmp_path / "dog" / "a.wav")
    (tmp_path / "dog" / "b.wav").mkdir()
    assert reasons(read_dataset(tmp_path), tmp_path) == {"dog/a.wav": "not_regular"}


@pytest.mark.parametrize("name", ["manifest.csv", "events.tsv"])
def test_B11_a_pipe_for_a_manifest_is_never_opened(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match="not a regular file"):
        read_dataset(tmp_path)


def test_B12_links_are_reported_and_not_followed(tmp_path):
    root = write_classes(tmp_path / "data", "dog", "cat")
    outside = write_recording(tmp_path / "outside" / "x.wav", 90)
    (root / "dog" / "loop").symlink_to(".")
    (root / "dog" / "out").symlink_to(outside.parent)
    (root / "dog" / "x.wav").symlink_to(outside)
    (root / "dog" / "dangling.wav").symlink_to("nowhere")
    (root / "owl").symlink_to(outside.parent)
    dataset = read_dataset(root)
    assert set(reasons(dataset, root).values()) == {"symlink"}
    assert sorted(reasons(dataset, root)) == ["dog/dangling.wav", "dog/loop", "dog/out", "dog/x.wav", "owl"]
    assert dataset.labels == ["cat", "dog"]


def test_B12_the_data_set_itself_may_be_named_by_a_link(tmp_path):
    root = write_classes(tmp_path / "data", "dog", "cat")
    (tmp_path / "link").symlink_to(root)
    assert len(read_dataset(tmp_path / "link").clips) == 4


@pytest.mark.parametrize(
    "names", [("Dog", "dog"), (unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é"))]
)
def test_B21_labels_that_look_alike_are_refused(tmp_path, names):
    write_classes(tmp_path, *names)
    if len(list(tmp_path.iterdir())) < 2:
        pytest.skip("this file system takes the names for one")
    with pytest.raises(DataError, match="differ only by") as caught:
        read_dataset(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_B21_labels_are_normalised(tmp_path):
    write_classes(tmp_path, unicodedata.normalize("NFD", "bébé"), "dog")
    assert read_dataset(tmp_path).labels == [unicodedata.normalize("NFC", "bébé"), "dog"]


def test_B22_every_hostile_folder_name_is_refused_at_once(tmp_path):
    write_classes(tmp_path, "dog", "a\nb", "-rf", "\x1b[31m", "\u202egod", "x" * 65)
    (tmp_path / os.fsdecode(b"\xff\xfe")).mkdir()
    with pytest.raises(DatasetError) as caught:
        read_dataset(tmp_path)
    assert len(caught.value.problems) == 6
    assert all(line.isprintable() for line in str(caught.value).splitlines())


def test_B22_hostile_file_names_stay_printable(tmp_path):
    write_classes(tmp_path, "dog", "cat", n_clips=3)
    content = (tmp_path / "cat" / "0.wav").read_bytes()
    hostile = os.fsdecode(b"\xff\x1b[2J\n.wav")
    (tmp_path / "dog" / hostile).write_bytes(content)
    dataset = read_dataset(tmp_path)
    assert all(warning.isprintable() for warning in dataset.warnings)
    assert all(clip.source_id.isprintable() for clip in dataset.clips)
    assert len(dataset.clips) == 7
