"""Reports on files left out: sentences with an example and a remedy."""

from pathlib import Path
from typing import get_args

import pytest

from streamgmm.audio.reading import RecordingReason
from streamgmm.dataset.dataset import read_dataset
from streamgmm.dataset.listing import Skipped
from streamgmm.dataset.reasons import EXPLANATIONS, left_out_lines
from streamgmm.errors import DataError
from tests.dataset.dataset_rig import write_classes


@pytest.mark.parametrize("suffix", [".m4a", ".aac", ".wma", ".amr", ".3gp", ".mp4", ".webm", ".M4A", ".qta"])
def test_B43_recordings_of_phones_are_named_with_the_command_that_converts_them(tmp_path, suffix):
    write_classes(tmp_path, "dog")
    for i in range(2):
        (tmp_path / "cat").mkdir(exist_ok=True)
        (tmp_path / "cat" / f"{i}{suffix}").write_bytes(b"x")
    with pytest.raises(DataError, match="class 'cat' has 0 usable") as caught:
        read_dataset(tmp_path)
    first = tmp_path / "cat" / f"0{suffix}"
    assert f"left out: 2 files, such as {first}: " in str(caught.value)
    assert f"ffmpeg -i X{suffix} X.wav" in str(caught.value)


def test_a_single_file_is_named_in_the_command_as_a_shell_takes_it():
    (line,) = left_out_lines([Skipped(Path("/x/a dog.m4a"), "unsupported")])
    assert line.endswith("convert it: ffmpeg -i '/x/a dog.m4a' '/x/a dog.wav'")


@pytest.mark.parametrize("reason", sorted(EXPLANATIONS))
def test_every_reason_is_a_sentence_with_a_file(reason):
    (line,) = left_out_lines([Skipped(Path(f"/x/{i}.wav"), reason) for i in range(3)])
    assert line.startswith("left out: 3 files, such as /x/0.wav: ")
    assert reason not in line.split(": ", 2)[2].split() or " " in line.split(": ", 2)[2]
    assert "{" not in line


def test_the_most_frequent_reason_comes_first():
    skipped = [Skipped(Path("/a"), "empty"), Skipped(Path("/b"), "symlink"), Skipped(Path("/c"), "symlink")]
    assert ["/b" in line for line in left_out_lines(skipped)] == [True, False]


def test_hostile_names_stay_on_one_line():
    (line,) = left_out_lines([Skipped(Path("/x/\x1b[2J\n.m4\na"), "unsupported")])
    assert line.isprintable()


def test_every_reason_of_recordings_has_a_sentence():
    assert set(get_args(RecordingReason)) <= set(EXPLANATIONS)
