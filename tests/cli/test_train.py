from __future__ import annotations

import json
import os
import signal
import socket
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamgmm.dataset.reasons import explanation
from streamgmm.demo.recordings import render_clip
from streamgmm.errors import DataError
from streamgmm.model.file import load_model
from tests.cli.cli_rig import run_cli, spawn_cli, spawn_main
from tests.narrowing import present
from tests.training.training_rig import RATE_HZ, SOUND_LABELS, write_sounds

SMALL = tuple(
    part
    for setting in ("n_jobs=1", "n_speed_copies=0", "n_context_copies=0", "world=false")
    for part in ("--set", f"training.{setting}")
)
QUICK = ("--quick", *SMALL)

posix_only = pytest.mark.skipif(os.name != "posix", reason="ends by POSIX signals")


@pytest.fixture(scope="module")
def sounds(tmp_path_factory) -> Path:
    return write_sounds(tmp_path_factory.mktemp("sounds"))


@pytest.fixture
def data(tmp_path) -> Path:
    """A data set that may be spoilt."""
    return write_sounds(tmp_path / "data", n_clips=2)


def refused(capsys, *arguments, code: int = 65) -> str:
    """The lines that `train` refuses with: the exit code, no traceback, nothing on stdout, no model."""
    ended, out, err = run_cli(capsys, "train", *arguments, *QUICK)
    assert (ended, out) == (code, ""), err
    assert "Traceback" not in err
    assert err.startswith("streamgmm: error: ")
    return err


def end_of(process) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def write_faint(path: Path, seed: int = 0) -> None:
    soundfile.write(path, 1e-5 * np.random.default_rng(seed).standard_normal(RATE_HZ), RATE_HZ, subtype="FLOAT")


# --- what it makes


def test_the_same_seed_gives_the_same_file_to_the_byte_whatever_the_number_of_processes(sounds, tmp_path):
    files = [tmp_path / f"{number}.sgm" for number in range(3)]
    processes = [
        spawn_cli(
            "train",
            sounds,
            "-o",
            path,
            "--quick",
            "--seed",
            seed,
            "--name",
            "yard",
            "--set",
            f"training.n_jobs={n_jobs}",
        )
        for path, seed, n_jobs in zip(files, (3, 3, 4), (1, 2, 1), strict=True)
    ]
    for process in processes:
        code, out, err = end_of(process)
        assert (code, out) == (0, ""), err
    first, again, other = (path.read_bytes() for path in files)
    assert first == again
    assert first != other


def test_a_process_says_on_stderr_what_it_learnt_and_sends_no_control_characters_to_a_file(sounds, tmp_path):
    (sounds / "notes.xyz").touch()
    code, out, err = end_of(
        spawn_cli("train", sounds, "-o", tmp_path / "yard.sgm", "--report", tmp_path / "r.json", *SMALL)
    )
    (sounds / "notes.xyz").unlink()
    assert (code, out) == (0, "")
    assert all(character == "\n" or unicodedata.category(character) != "Cc" for character in err)
    rows = [line.replace("│", " ").split() for line in err.splitlines()]
    for label in SOUND_LABELS:
        assert [label, "4"] in [row[:2] for row in rows]
    assert f"wrote {tmp_path / 'yard.sgm'}: " in err
    assert "of held-out clips right" in err
    report = json.loads((tmp_path / "r.json").read_text())
    model = load_model(tmp_path / "yard.sgm")
    assert (report["model"], report["sha256"]) == ("yard", model.sha256)
    assert report["card"] == model.card
    assert report["warnings"] == []
    window, settings, for_clips, for_events = report["notes"]
    assert window.startswith("windows of 1 s kept, as no others are surely better: held-out log loss of clips ")
    assert settings.startswith("defaults kept")
    assert for_clips.startswith("cepstral frames ")
    assert for_events.startswith("cepstral frames ")
    assert set(report) == {"model", "sha256", "card", "notes", "warnings", "skipped_files"}


@pytest.mark.parametrize("covariance", ["diag", "full"])
def test_the_shape_and_number_of_the_gaussians_can_be_chosen(capsys, data, tmp_path, covariance):
    path = tmp_path / "m.sgm"
    assert run_cli(capsys, "train", data, "-o", path, "--covariance", covariance, "--components", 2, *QUICK).code == 0
    mixture = load_model(path).classifier.mixtures[0]
    assert (mixture.covariance_type, mixture.n_components) == (covariance, 2)


def test_bic_may_choose_and_the_rate_can_be_given(capsys, data, tmp_path):
    path = tmp_path / "m.sgm"
    assert run_cli(capsys, "train", data, "-o", path, "--components", "bic", "--rate", 4000, *QUICK).code == 0
    assert load_model(path).spec.sample_rate_hz == 4000


@pytest.mark.parametrize(
    ("stem", "name"),
    [("my!model", "my_model"), ("yard", "yard"), ("-yard", "yard"), ("Unknown", "model"), ("é" * 80, "é" * 64)],
)
def test_the_model_is_called_as_its_file_as_far_as_that_is_a_name(capsys, data, tmp_path, stem, name):
    path = tmp_path / f"{stem}.sgm"
    assert run_cli(capsys, "train", data, f"-o{path}", *QUICK).code == 0
    assert load_model(path).name == name


# --- the ways to write a data set down


def write_long(path: Path, seed: int) -> list[tuple[float, float, str]]:
    """A recording with one sound of each label and noise between them; returns when they are."""
    rng = np.random.default_rng(seed)
    parts, events, end_s = [], [], 0.0
    for label in SOUND_LABELS:
        sound = render_clip(label, rng, RATE_HZ)
        parts += [np.zeros(2 * RATE_HZ), sound]
        events.append((end_s + 2.0, end_s + 2.0 + len(sound) / RATE_HZ, label))
        end_s = events[-1][1]
    samples = np.concatenate([*parts, np.zeros(2 * RATE_HZ)])
    soundfile.write(path, samples + 0.003 * rng.standard_normal(len(samples)), RATE_HZ, subtype="PCM_16")
    return events


@pytest.mark.parametrize("kind", ["dcase", "audacity"])
def test_long_recordings_with_labels_teach_classes_and_their_background(capsys, tmp_path, kind):
    data = tmp_path / "data"
    data.mkdir()
    lines = []
    for number in range(2):
        events = write_long(data / f"{number}.wav", number)
        track = [f"{onset_s:.6f}\t{offset_s:.6f}\t{label}\n" for onset_s, offset_s, label in events]
        lines += [f"{number}.wav\t{line}" for line in track]
        if kind == "audacity":
            (data / f"{number}.txt").write_text("".join(track))
    if kind == "dcase":
        (data / "events.tsv").write_text("filename\tonset\toffset\tevent_label\n" + "".join(lines))
    path = tmp_path / "m.sgm"
    code, out, err = run_cli(capsys, "train", data, "-o", path, *QUICK)
    assert (code, out) == (0, ""), err
    assert load_model(path).labels == ("background", *SOUND_LABELS)
    assert "are used as 'background'" in err


def test_a_manifest_is_a_data_set(capsys, data, tmp_path):
    lines = [f"{path.relative_to(data)},{path.parent.name}" for path in sorted(data.rglob("*.wav"))]
    (data / "manifest.csv").write_text("\n".join(["path,label", *lines, ""]))
    assert run_cli(capsys, "train", data / "manifest.csv", "-o", tmp_path / "m.sgm", *QUICK).code == 0


def test_B23_mixed_rates_are_resampled_to_the_most_frequent_and_counted(capsys, data, tmp_path):
    write_sounds(tmp_path / "other", labels=["footsteps"], n_clips=1, rate_hz=16000)
    (tmp_path / "other" / "footsteps" / "0.wav").rename(data / "footsteps" / "fast.wav")
    _, _, err = run_cli(capsys, "train", data, "-o", tmp_path / "m.sgm", *QUICK)
    assert "6 at 8000 Hz, 1 at 16000 Hz" in " ".join(err.split())
    assert load_model(tmp_path / "m.sgm").spec.sample_rate_hz == 8000


# --- what it leaves out


@pytest.mark.parametrize("fault", ["B1", "B9", "B10", "B11_fifo", "B11_folder", "B11_socket", "B12_loop", "B12_file"])
def test_what_is_no_recording_is_left_out_and_counted_and_refused_by_strict(capsys, data, tmp_path, monkeypatch, fault):
    bad = data / "footsteps" / "bad.wav"
    reason = spoil(bad, fault, monkeypatch)
    arguments = (data, "-o", tmp_path / "m.sgm", "--report", tmp_path / "r.json")
    code, out, err = run_cli(capsys, "train", *arguments, *QUICK)
    assert (code, out) == (0, ""), err
    assert "Traceback" not in err
    skipped = json.loads((tmp_path / "r.json").read_text())["skipped_files"]
    assert skipped == ({reason: 1} if reason else {})
    if reason:
        assert "Left out" in err
        assert explanation(reason) in refused(capsys, *arguments, "--strict")


def spoil(path: Path, fault: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Put something at `path` that is no recording; returns the reason that it must be left out for."""
    match fault:
        case "B1":
            path.write_bytes(b"")
            return "empty"
        case "B9":
            path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(200))
            return "not_audio"
        case "B10":
            with path.open("wb") as file:
                file.truncate(10 * 2**30)
            return "too_large"
        case "B11_fifo":
            os.mkfifo(path)
            return "not_regular"
        case "B11_folder":
            path.mkdir()
            return ""  # it is searched, and empty
        case "B11_socket":
            monkeypatch.chdir(path.parent)
            with socket.socket(socket.AF_UNIX) as listener:
                listener.bind(path.name)
            return "not_regular"
        case "B12_loop":
            path.with_name("loop").symlink_to(".")
            return "symlink"
        case _:
            path.symlink_to("/etc/passwd")
            return "symlink"


def test_B13_an_unreadable_data_set_is_77_and_an_unreadable_file_left_out(capsys, data, tmp_path, monkeypatch):
    deny(monkeypatch, "streamgmm.audio.regular.os.open", data / "footsteps" / "0.wav")
    assert "may not be read; check its permissions" in refused(
        capsys, data, "-o", tmp_path / "m.sgm"
    )  # one clip is left
    deny(monkeypatch, "streamgmm.dataset.scan.os.scandir", data)
    refused(capsys, data, "-o", tmp_path / "m.sgm", code=77)


def deny(monkeypatch: pytest.MonkeyPatch, function: str, forbidden: Path) -> None:
    """Let the system refuse one path: root may read whatever its mode says."""
    original = getattr(os, function.rsplit(".", 1)[1])

    def refuse(path, *arguments, **options):
        if Path(path) == forbidden:
            raise PermissionError(13, "Permission denied")
        return original(path, *arguments, **options)

    monkeypatch.setattr(function, refuse)


# --- what it refuses


def test_B15_no_classes_one_class_and_an_empty_class_are_refused(capsys, data, tmp_path):
    (tmp_path / "empty").mkdir()
    assert "there is no class" in refused(capsys, tmp_path / "empty", "-o", tmp_path / "m.sgm")
    (data / "owl").mkdir()
    assert "class 'owl' has 0 usable clips" in refused(capsys, data, "-o", tmp_path / "m.sgm")
    one = write_sounds(tmp_path / "one", labels=["footsteps"])
    assert "one class only, 'footsteps'" in refused(capsys, one, "-o", tmp_path / "m.sgm")


WITH_WORLD = tuple("training.world=true" if word == "training.world=false" else word for word in QUICK)


def test_B15_one_class_is_told_from_the_world(capsys, tmp_path):
    one = write_sounds(tmp_path / "one", labels=["footsteps"])
    code, _, err = run_cli(capsys, "train", one, "-o", tmp_path / "m.sgm", *WITH_WORLD)
    assert code == 0, err
    model = load_model(tmp_path / "m.sgm")
    assert model.labels == ("footsteps",)
    # Its threshold comes from sounds of the world, and a recording of it makes an event.
    assert 0.3 <= present(model.decision["footsteps"].onset_threshold) < 1.0
    code, out, err = run_cli(capsys, "classify", *(one / "footsteps").iterdir(), "--model", tmp_path / "m.sgm")
    assert code == 0, err
    assert "start" in {json.loads(line)["type"] for line in out.splitlines()}


def test_B15_one_class_is_refused_where_the_world_cannot_be_read(capsys, tmp_path, monkeypatch):
    def missing(*arguments, **options):
        raise DataError("world.ogg is missing")

    monkeypatch.setattr("streamgmm.training.extraction.world_clips.read_index", missing)
    one = write_sounds(tmp_path / "one", labels=["footsteps"])
    code, _, err = run_cli(capsys, "train", one, "-o", tmp_path / "m.sgm", *WITH_WORLD)
    assert code == 65
    assert "one class only, 'footsteps'" in err
    assert "world.ogg is missing" in err
    assert not (tmp_path / "m.sgm").exists()


def test_B16_a_class_with_one_clip_is_refused_by_name(capsys, data, tmp_path):
    (data / "footsteps" / "0.wav").unlink()
    assert "class 'footsteps' has 1 usable clips" in refused(capsys, data, "-o", tmp_path / "m.sgm")


def test_B17_too_few_windows_lower_the_number_of_components_with_a_note(capsys, data, tmp_path):
    code, _, err = run_cli(capsys, "train", data, "-o", tmp_path / "m.sgm", "--components", 64, *QUICK)
    assert code == 0
    assert "components instead of 64" in err


def test_B18_one_recording_copied_many_times_is_one_clip(capsys, data, tmp_path):
    content = (data / "footsteps" / "0.wav").read_bytes()
    for number in range(50):
        (data / "footsteps" / f"{number}.wav").write_bytes(content)
    assert "class 'footsteps' has 1 usable clips that differ" in refused(capsys, data, "-o", tmp_path / "m.sgm")


def test_B19_a_silent_class_is_refused_by_name(capsys, data, tmp_path):
    (data / "ghost").mkdir()
    for number in range(3):
        write_faint(data / "ghost" / f"{number}.wav", number)
    err = refused(capsys, data, "-o", tmp_path / "m.sgm")
    assert "class 'ghost' has 0 usable clips" in err
    assert f"left out: 3 files, such as {data / 'ghost' / '0.wav'}: is silent throughout" in err


def test_B20_one_clip_in_two_classes_is_warned_of_and_refused_by_strict(capsys, data, tmp_path):
    (data / "phone_ring" / "same.wav").write_bytes((data / "footsteps" / "0.wav").read_bytes())
    code, _, err = run_cli(capsys, "train", data, "-o", tmp_path / "m.sgm", *QUICK)
    assert code == 0
    assert "labelled 'footsteps' and 'phone_ring'" in " ".join(err.split())
    assert "contain the same sound" in refused(capsys, data, "-o", tmp_path / "m.sgm", "--strict")


@pytest.mark.parametrize("twin", ["Footsteps", "ｆootsteps"])
def test_B21_labels_that_look_alike_are_refused(capsys, data, tmp_path, twin):
    (data / twin).mkdir()
    (data / "phone_ring" / "0.wav").rename(data / twin / "0.wav")
    assert "differ only by case or Unicode form" in refused(capsys, data, "-o", tmp_path / "m.sgm")


@pytest.mark.parametrize("label", ["a\nb", "a\tb", "a\x1b[31mb", "a\u202eb", "-rf", "a;b", "é" * 100, "Unknown", "a "])
def test_B22_hostile_labels_are_refused_and_shown_escaped(capsys, data, tmp_path, label):
    (data / "footsteps").rename(data / label)
    err = refused(capsys, data, "-o", tmp_path / "m.sgm")
    assert "label '" in err
    assert all(line == "" or line.isprintable() for line in err.split("\n"))


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--covariance", "round"], 64, "invalid choice: 'round'"),
        (["--components", "0"], 78, "training.n_components"),
        (["--components", "many"], 78, "training.n_components"),
        (["--rate", "fast"], 78, "features.sample_rate_hz"),
        (["--seed", "-1"], 78, "training.seed"),
        (["--name", "a\x1b[31m"], 64, "--name: label 'a\\x1b[31m' holds"),
        (["--name", ""], 64, "--name: label '' is empty"),
        (["--name", "../x"], 64, "--name: label '../x' holds SOLIDUS"),
        (["-o", "no/such/folder/m.sgm"], 73, "No such file or directory"),
        (["-o", "model.pkl"], 64, "use a name that ends in .sgm"),
        (["-o", "m.sgm", "--report", "no/such/r.json"], 73, "cannot be written: No such file or directory"),
        (["-o", "m.sgm", "--report", "."], 73, "is a folder"),
        (["--config", "broken.yaml"], 78, "broken.yaml"),
        (["--config", "missing.yaml"], 66, "missing.yaml"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_recording_is_read(
    capsys, sounds, tmp_path, monkeypatch, arguments, code, says
):
    monkeypatch.setattr("streamgmm.cli.findings.read_dataset", lambda *_, **__: pytest.fail("read"))
    monkeypatch.chdir(tmp_path)
    Path("broken.yaml").write_text("training: [1\nseed: }")
    output = [] if "-o" in arguments else ["-o", "m.sgm"]
    assert says in refused(capsys, sounds, *output, *arguments, code=code)
    assert not list(tmp_path.glob("*.sgm"))


def test_a_data_set_that_is_not_there_is_66(capsys, tmp_path):
    assert "no such file or folder" in refused(capsys, tmp_path / "none", "-o", tmp_path / "m.sgm", code=66)


# --- how it ends

INTERRUPTED = """
import signal
import {module} as module
original = module.{function}
def announce(*arguments, **options):
    print('up', flush=True)
    {wait}
    return original(*arguments, **options)
module.{function} = announce
"""


@posix_only
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(
    ("module", "function", "wait"),
    [
        ("streamgmm.training.selection.window_length", "extract_clips", "pass"),
        ("streamgmm.training.trainer", "fit_in_world", "pass"),
        ("os", "fsync", "signal.pause()"),
    ],
    ids=["measuring", "fitting", "saving"],
)
def test_B25_a_training_that_is_stopped_leaves_the_old_model_alone(sounds, tmp_path, module, function, wait, number):
    path = tmp_path / "out" / "m.sgm"
    path.parent.mkdir()
    path.write_bytes(b"the old one")
    preparation = INTERRUPTED.format(module=module, function=function, wait=wait)
    process = spawn_main(preparation, "train", sounds, "-o", path, *QUICK)
    assert present(process.stdout).readline() == "up\n"
    process.send_signal(number)
    code, out, err = end_of(process)
    assert (code, out, err) == (-number, "", "")
    assert path.read_bytes() == b"the old one"
    assert list(path.parent.iterdir()) == [path]
