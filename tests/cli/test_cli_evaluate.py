from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pytest

from tests.cli.cli_rig import run_cli, spawn_cli
from tests.training.training_rig import SOUND_LABELS, write_sounds

QUICK = ("--set", "training.n_jobs=1", "--set", "training.n_speed_copies=0")


@pytest.fixture(scope="module")
def sounds(tmp_path_factory) -> Path:
    """A data set with a manifest that deals its clips out into two folds."""
    root = write_sounds(tmp_path_factory.mktemp("sounds"))
    rows = [f"{path.relative_to(root)},{path.parent.name},{int(path.stem) % 2}" for path in sorted(root.rglob("*.wav"))]
    (root / "manifest.csv").write_text("\n".join(["path,label,fold", *rows, ""]))
    return root


@pytest.fixture(scope="module")
def model(sounds, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("model") / "yard.sgm"
    process = spawn_cli("train", sounds, "-o", path, *QUICK)
    assert (process.communicate(timeout=60)[0], process.returncode) == ("", 0)
    return path


def test_by_fold_a_process_prints_the_tables_and_writes_the_json(sounds, tmp_path):
    process = spawn_cli("evaluate", sounds, "--by", "fold", "--json", tmp_path / "e.json")
    out, err = process.communicate(timeout=60)
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
        shown = [f"{scores[name]:.1%}" for name in ("recall", "precision", "f1")]
        assert [label, "4", *shown] in rows
    assert f"accuracy {result['accuracy']:.1%} (deviation {result['accuracy_sd']:.1%} over 2 folds)" in out
    assert ["1", SOUND_LABELS[0], *[str(n or ".") for n in result["confusion"][0]]] in rows


def test_the_same_command_gives_the_same_json_whatever_the_number_of_processes(capsys, sounds, tmp_path):
    files = [tmp_path / f"{n_jobs}.json" for n_jobs in (1, 2)]
    for n_jobs, path in enumerate(files, start=1):
        settings = ("--set", f"training.n_jobs={n_jobs}", "--set", "training.n_speed_copies=0")
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
    assert "accuracy 100.0%, balanced 100.0%, 12 clips, 1 seed\n" in out
    assert err.startswith("warning: the model was trained on these very recordings")


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
    assert "labels that the model does not know: 'owl'" in err


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--seeds", "0"], 64, "--seeds is 0, must be 1 to 1000"),
        (["--seeds", "many"], 64, "invalid int value"),
        (["--by", "speaker"], 64, "invalid choice: 'speaker'"),
        (["--model", "m.sgm", "--by", "fold"], 64, "--by and --seeds are for cross-validation"),
        (["--model", "m.sgm", "--seeds", "2"], 64, "--by and --seeds are for cross-validation"),
        (["--model", "none: [.sgm"], 66, "none: [.sgm: no such file"),
        (["--model", ""], 64, "no model is given"),
        (["--json", "no/such/e.json"], 73, "no/such/e.json: cannot be written: No such file or directory"),
    ],
)
def test_what_makes_no_sense_is_refused_before_any_recording_is_read(
    capsys, sounds, tmp_path, monkeypatch, arguments, code, says
):
    monkeypatch.setattr("streamgmm.training.dataset.read_dataset", lambda *_, **__: pytest.fail("read"))
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
    assert "left out: 1 not_audio" in out
