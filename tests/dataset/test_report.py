from pathlib import Path
from typing import get_args

from rich.console import Console

from streamgmm.audio.reading import RecordingReason
from streamgmm.dataset import reasons, report
from streamgmm.dataset.dataset import read_dataset
from streamgmm.dataset.listing import Skipped
from tests.dataset.dataset_rig import write_classes, write_recording


def rendered(renderable):
    console = Console(width=200, force_terminal=False, color_system=None)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def cells(text, first):
    """The cells of the row that begins with `first`."""
    (row,) = (line for line in text.splitlines() if line.startswith(f"│ {first} "))
    return [cell.strip() for cell in row.strip("│").split("│")]


def test_classes_with_clips_seconds_and_sources(tmp_path):
    write_classes(tmp_path, "dog", "cat", n_clips=3)
    write_recording(tmp_path / "dog" / "long.wav", 5, duration_s=2.0)
    text = rendered(report.classes_table(read_dataset(tmp_path).clips))
    assert cells(text, "dog") == ["dog", "4", "2.3", "4"]
    assert cells(text, "cat") == ["cat", "3", "0.3", "3"]


def test_skipped_files_per_reason():
    skipped = [Skipped(Path(f"/x/{i}.wav"), "empty") for i in range(5)] + [Skipped(Path("/x/a"), "symlink")]
    text = rendered(report.skipped_table(skipped))
    assert cells(text, "holds no sound") == ["holds no sound", "5", "/x/0.wav"]
    assert "and 2 more" in text
    assert text.index("holds no sound") < text.index("symbolic link")
    assert reasons.count_skipped(skipped) == {"empty": 5, "symlink": 1}


def test_hostile_names_are_escaped_and_no_markup():
    text = rendered(report.skipped_table([Skipped(Path("/x/[red]\x1b[2J\n.wav"), "empty")]))
    assert "[red]\\x1b[2J\\n.wav" in text


def test_every_reason_is_explained():
    assert set(get_args(RecordingReason)) | {"outside_class", "constant", "damaged"} <= set(reasons.EXPLANATIONS)


def test_the_report_is_complete(tmp_path):
    write_classes(tmp_path, "dog", "cat")
    write_recording(tmp_path / "dog" / "hifi.wav", 9, rate_hz=44100)
    (tmp_path / "dog" / "empty.wav").touch()
    (tmp_path / "dog" / "copy.wav").write_bytes((tmp_path / "cat" / "0.wav").read_bytes())
    text = rendered(report.dataset_report(read_dataset(tmp_path)))
    for part in ("Classes", "note: recordings differ in sample rate", "warning: ", "Left out", "empty.wav"):
        assert part in text


def test_nothing_left_out_nothing_reported(tmp_path):
    text = rendered(report.dataset_report(read_dataset(write_classes(tmp_path, "dog", "cat"))))
    assert "Left out" not in text
    assert "warning" not in text
