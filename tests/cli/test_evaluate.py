from __future__ import annotations

import json
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamgmm.demo.recordings import write_wav
from streamgmm.shares import share_text
from tests.cli.cli_rig import run_cli, spawn_cli
from tests.training.training_rig import QUICK, SOUND_LABELS, write_sounds


@pytest.fixture(scope="module")
def sounds(tmp_path_factory) -> Path:
    """A data set with a manifest that deals its clips out into two folds."""
    root = write_sounds(tmp_path_factory.mktemp("sounds"))
    rows = [f"{path.relative_to(root)},{path.parent.name},{int(path.stem) % 2}" for path in sorted(root.rglob("*.wav"))]
    (root / "manifest.csv").write_text("\n".join(["path,label,fold", *rows, ""]))
    return root


@pytest.fixture(scope="module")
def model(sounds, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "yard.sgm"
    process = spawn_cli("train", sounds, "-o", path, *QUICK)
    assert (process.communicate(timeout=300)[0], process.returncode) == ("", 0)
    return path


def test_by_fold_a_process_prints_the_tables_and_writes_the_json(sounds, tmp_path):
    process = spawn_cli("evaluate", sounds, "--by", "fold", "--json", tmp_path / "e.json", *QUICK)
    out, err = process.communicate(timeout=300)
    assert (process.returncode, err) == (0, "")
    assert all(character == "\n" or unicodedata.category(character) != "Cc" for character in out)
    result = json.loads((tmp_path / "e.json").read_text())
    assert result["division"] == "fold"
    assert [fold["fold"] for fold in result["folds"]] == ["0", "1"]
    assert result["labels"] == list(SOUND_LABELS)
    assert result["n_clips"] == sum(map(sum, result["confusion"])) == 12
    rows = [line.replace("│", " ").split() for line in out.splitlines()]
    for label in SOUND_LABELS:
        scores = result["per_class"][label]
        recall, precision = (share_text(scores["n_right"], scores[name]) for name in ("n_clips", "n_answered"))
        assert scores["n_clips"] == 4
        assert f"{label} {recall} {precision} {scores['f1']:.1%}".split() in rows
    n_right = sum(scores["n_right"] for scores in result["per_class"].values())
    assert f", {share_text(n_right, 12)}, balanced" in out
    shown = [f"{result[key]:.1%}" for key in ("accuracy", "accuracy_se", "accuracy_sd")]
    assert "accuracy {} ± {} (deviation {} over 2 folds)".format(*shown) in out
    assert ["1", SOUND_LABELS[0], *[str(n or ".") for n in result["confusion"][0]]] in rows


def test_the_same_command_gives_the_same_json_whatever_the_number_of_processes(capsys, sounds, tmp_path):
    files = [tmp_path / f"{n_jobs}.json" for n_jobs in (1, 2)]
    for n_jobs, path in enumerate(files, start=1):
        settings = ("--quick", "--set", f"training.n_jobs={n_jobs}", "--set", "training.world=false")
        assert run_cli(capsys, "evaluate", sounds, "--json", path, *settings).code == 0
    assert files[0].read_bytes() == files[1].read_bytes()


def test_by_source_and_with_seeds(capsys, sounds, tmp_path):
    code, out, _ = run_cli(
        capsys, "evaluate", sounds, "--by", "source", "--seeds", 2, "--json", tmp_path / "e.json", *QUICK
    )
    assert code == 0
    assert "12 clips, 2 seeds" in out
    result = json.loads((tmp_path / "e.json").read_text())
    assert (result["division"], result["n_seeds"]) == ("source", 2)
    assert [fold["seed"] for fold in result["folds"]] == [0] * 4 + [1] * 4


def test_a_model_that_exists_is_scored_on_all_clips_and_told_if_it_knows_them(capsys, sounds, model):
    code, out, err = run_cli(capsys, "evaluate", sounds, "--model", model, *QUICK)
    assert code == 0
    assert "accuracy 100.0%, 12 of 12 (76 to 100 %), balanced 100.0%, 12 clips, 1 seed\n" in out
    assert err.startswith("warning: the model was trained on these recordings")


def test_recordings_of_a_lower_rate_than_the_model_are_warned_of(capsys, model, tmp_path):
    few = write_sounds(tmp_path / "few", n_clips=1)
    for path in few.rglob("*.wav"):
        samples, rate_hz = soundfile.read(path)
        soundfile.write(path, samples[::2], rate_hz // 2)
    code, _, err = run_cli(capsys, "evaluate", few, "--model", model, *QUICK)
    assert code == 0
    assert err.startswith(f"warning: the sound comes at {rate_hz // 2} Hz and the model knows it at {rate_hz} Hz: ")


def test_a_model_can_be_scored_on_a_single_clip_of_a_label(capsys, model, tmp_path):
    few = write_sounds(tmp_path / "few", labels=SOUND_LABELS[:2], n_clips=1)
    code, out, err = run_cli(capsys, "evaluate", few, "--model", model, *QUICK)
    assert (code, err) == (0, "")
    assert "2 clips, 1 seed" in out


def test_labels_that_the_model_does_not_know_are_refused(capsys, model, tmp_path):
    strange = write_sounds(tmp_path / "strange", labels=["footsteps", "clock_tick"][:1], n_clips=1)
    (strange / "owl").mkdir()
    (strange / "footsteps" / "0.wav").rename(strange / "owl" / "0.wav")
    write_sounds(tmp_path / "known", labels=["bird_song"], n_clips=1)
    (tmp_path / "known" / "bird_song").rename(strange / "bird_song")
    (strange / "footsteps").rmdir()
    code, out, err = run_cli(capsys, "evaluate", strange, "--model", model, *QUICK)
    assert (code, out) == (65, "")
    assert "labels that the model does not have: 'owl'" in err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--seeds", "0"], 64, "--seeds is 0, must be 1 to 1000"),
        (["--seeds", "many"], 64, "invalid int value"),
        (["--by", "speaker"], 64, "invalid choice: 'speaker'"),
        (["--model", "m.sgm", "--by", "fold"], 64, "--by, --seeds, --background and --quick are for training"),
        (["--model", "m.sgm", "--seeds", "2"], 64, "--by, --seeds, --background and --quick are for training"),
        (["--model", "none: [.sgm"], 66, "none: [.sgm: no such file"),
        (["--model", ""], 64, "no model is given"),
        (["--model", "m.sgm", "--open-set"], 64, "--open-set trains without each class"),
        (["--noise", "white"], 64, "--noise white is not a noise (write white:10"),
        (["--gain", "loud"], 64, "invalid float value"),
        (["--seconds", "-1"], 64, "--seconds is -1, must be above 0"),
        (["--report", "no/such"], 73, "no/such: cannot be written: No such file or directory"),
        (["--report", "/dev/null"], 73, "/dev/null: is not a folder"),
        (["--json", "no/such/e.json"], 73, "no/such/e.json: cannot be written: No such file or directory"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_recording_is_read(
    capsys, sounds, tmp_path, monkeypatch, arguments, code, says
):
    monkeypatch.setattr("streamgmm.cli.findings.read_dataset", lambda *_, **__: pytest.fail("read"))
    monkeypatch.chdir(tmp_path)
    ended, out, err = run_cli(capsys, "evaluate", sounds, *arguments)
    assert (ended, out, err.count("\n")) == (code, "", 1)
    assert says in err


def test_folds_that_are_not_there_are_refused(capsys, tmp_path):
    root = write_sounds(tmp_path / "data", n_clips=2)
    code, _, err = run_cli(capsys, "evaluate", root, "--by", "fold", *QUICK)
    assert (code, err.count("\n")) == (65, 1)
    assert "not every recording has a fold" in err


def test_what_was_left_out_is_told(capsys, tmp_path):
    root = write_sounds(tmp_path / "data", n_clips=2)
    (root / "footsteps" / "text.wav").write_text("no sound")
    _, out, _ = run_cli(capsys, "evaluate", root, *QUICK)
    assert "left out: 1: is not a recording" in out


def test_in_noise_quiet_and_short_with_a_page(capsys, sounds, model, tmp_path):
    options = ("--noise", "white:10", "--gain", "-20", "--seconds", "1", "--report", tmp_path / "page")
    code, out, err = run_cli(
        capsys, "evaluate", sounds, "--model", model, *options, "--json", tmp_path / "e.json", *QUICK
    )
    assert code == 0
    assert err.splitlines()[-1] == f"page: {tmp_path / 'page' / 'evaluation.html'}"
    assert "test clips: white noise at 10 dB SNR, first 1 active seconds, gain -20 dB\n" in out
    result = json.loads((tmp_path / "e.json").read_text())
    done = {key: value for key, value in result["conditions"].items() if value is not None}
    assert done == {"noise": "white", "snr_db": 10.0, "first_active_s": 1.0, "gain_db": -20.0}
    shown = f"calibration error {result['ece']:.1%}, {result['ece_uncalibrated']:.1%} before calibration"
    assert f"log loss {result['log_loss']:.3f}, {shown}\n" in out
    assert f"{result['accuracy']:.1%}" in (tmp_path / "page" / "evaluation.html").read_text()


def test_each_class_left_out_in_turn(capsys, sounds, tmp_path):
    code, out, _ = run_cli(capsys, "evaluate", sounds, "--open-set", "--json", tmp_path / "e.json", *QUICK)
    result = json.loads((tmp_path / "e.json").read_text())
    assert code == 0
    assert f"a class left out: AUROC {result['auroc_unknown']:.3f} ± {result['auroc_unknown_se']:.3f}, " in out
    assert f"{result['accepted_unknown_at_90']:.1%} accepted where 90% of the known clips are\n" in out


def test_noise_shorter_than_a_clip_and_no_noise_at_all_are_refused_in_one_line(capsys, sounds, tmp_path):
    write_wav(tmp_path / "short.wav", np.ones(8000, np.float32), 8000)
    for name, code, says in (("short.wav", 65, "is shorter than"), ("none.wav", 66, "no such file")):
        ended, out, err = run_cli(capsys, "evaluate", sounds, "--noise", f"{tmp_path / name}:10", *QUICK)
        assert (ended, out, err.count("\n")) == (code, "", 1)
        assert says in err


def test_a_page_without_matplotlib_is_refused_before_the_work(capsys, sounds, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setattr("streamgmm.cli.findings.read_dataset", lambda *_, **__: pytest.fail("read"))
    code, _, err = run_cli(capsys, "evaluate", sounds, "--report", tmp_path / "page")
    assert (code, err.count("\n")) == (64, 1)
    assert 'a picture needs matplotlib (pip install "streamgmm[plot]")' in err


def test_the_same_sound_in_two_folds_is_warned_of_by_name(capsys, tmp_path):
    root = write_sounds(tmp_path / "data", labels=SOUND_LABELS[:2], n_clips=2)
    (root / SOUND_LABELS[0] / "copy.wav").write_bytes((root / SOUND_LABELS[0] / "0.wav").read_bytes())
    paths = sorted(path.relative_to(root) for path in root.rglob("*.wav"))
    rows = [f"{path},{path.parent},{'1' if path.stem in ('copy', '1') else '0'}" for path in paths]
    (root / "manifest.csv").write_text("\n".join(["path,label,fold", *rows, ""]))
    code, _, err = run_cli(capsys, "evaluate", root, *QUICK)
    assert code == 0
    warned = [line for line in err.splitlines() if "contain the same sound, in folds" in line]
    assert len(warned) == 1
    assert "copy.wav" in warned[0]
    assert "0.wav" in warned[0]
