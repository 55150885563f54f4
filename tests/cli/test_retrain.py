"""`streamgmm retrain`: the better model takes the place of the old one, which is kept, or nothing changes."""

from __future__ import annotations

import shutil
import signal
from pathlib import Path

import pytest

from streamgmm.cli.retrain import previous_path, retrained_table
from streamgmm.model.file import load_model
from streamgmm.model.lock import model_lock
from streamgmm.model.room_card import RoomCard
from streamgmm.training.enrolment.cache_file import cache_path, has_cache
from streamgmm.training.enrolment.comparison import HeldOutScores, ModelComparison
from tests.cli.cli_rig import run_cli, spawn_cli, spawn_main
from tests.narrowing import present
from tests.training.training_rig import QUICK, write_sounds

COMPARISON = "streamgmm.training.enrolment.comparison.ModelComparison"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    write_sounds(folder / "known")
    options = (*QUICK, "--set", "training.n_noise_copies=0", "--set", "training.cepstra=never")
    process = spawn_cli("train", folder / "known", "-o", folder / "my.sgm", *options)
    assert (process.communicate(timeout=120)[0], process.returncode) == ("", 0)
    return folder / "my.sgm"


@pytest.fixture
def model(trained: Path, tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    shutil.copy(cache_path(trained), cache_path(tmp_path / "models" / "my.sgm"))
    return Path(shutil.copy(trained, tmp_path / "models" / "my.sgm"))


@pytest.fixture
def heard(tmp_path: Path) -> Path:
    write_sounds(tmp_path / "heard" / "accepted", ["doorbell"])
    return tmp_path / "heard"


def contents(path: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in path.parent.iterdir()}


def test_the_new_model_replaces_the_old_one_which_comes_back_with_one_command(capsys, model, heard):
    before = contents(model)
    code, out, err = run_cli(capsys, "retrain", model, "--clips", heard)
    assert code == 0, err
    assert "new clips: doorbell 4" in out
    (row,) = [line.replace("│", " ").split() for line in out.splitlines() if line.startswith("│ doorbell")]
    assert row == ["doorbell", "-", "4", "-", "100"]
    assert f"wrote {model} and my.sgm-memory: 4 classes" in err
    assert f"to return to it: streamgmm retrain {model} --back" in err
    assert "a running daemon takes it on SIGHUP: systemctl reload streamgmm" in err
    kept, name = contents(model), previous_path(model).name
    assert kept.keys() == {"my.sgm", "my.sgm-memory", "my.previous.sgm", "my.previous.sgm-memory"}
    assert (kept[name], kept[f"{name}-memory"]) == (before["my.sgm"], before["my.sgm-memory"])
    assert has_cache(load_model(model), model)
    code, out, _ = run_cli(capsys, "retrain", model, "--clips", heard)
    assert (code, out) == (0, "nothing to do: all 4 reviewed clips are in the model\n")
    code, out, err = run_cli(capsys, "retrain", model, "--back")
    assert (code, out, contents(model)) == (0, "", before)
    assert f"{model} is the earlier model again: 3 classes" in err
    assert "there is no earlier model" in refused(capsys, "retrain", model, "--back", code=66)


@pytest.mark.parametrize("losses", ["clip_losses", "room_losses"])
def test_a_model_that_finds_less_is_refused_unless_it_is_forced(capsys, model, heard, monkeypatch, losses):
    before = contents(model)
    monkeypatch.setattr(f"{COMPARISON}.{losses}", lambda self: ["class 'footsteps' in the room"])
    code, _, err = run_cli(capsys, "retrain", model, "--clips", heard)
    assert (code, contents(model)) == (65, before)
    assert "class 'footsteps' in the room would lose more recall than chance can explain (--force" in err
    code, _, err = run_cli(capsys, "retrain", model, "--clips", heard, "--dry-run")
    assert (code, contents(model)) == (0, before)
    assert "without --force it would be rejected" in err
    assert run_cli(capsys, "retrain", model, "--clips", heard, "--force").code == 0
    assert "doorbell" in load_model(model).labels


def test_the_table_compares_the_room_on_the_clips_of_before():
    def scores(found: float, **n_clips: int) -> HeldOutScores:
        recalls = {label: {"0": found / 2, "12": found} for label in n_clips}
        room = RoomCard(max_false_alarms_per_hour=1.0, recalls=recalls)
        return HeldOutScores(held_out_recalls=dict.fromkeys(n_clips, found), n_clips=n_clips, room=room)

    table = retrained_table(ModelComparison(scores(0.8, dog=4), scores(0.2, dog=9, owl=3), scores(0.6, dog=4)))
    rows = list(zip(*(column.cells for column in table.columns), strict=True))
    assert [tuple(map(str, row)) for row in rows] == [
        ("dog", "4", "9", "80", "60", "40 80", "30 60"),
        ("owl", "-", "3", "-", "20", "-", "10 20"),
    ]
    assert "found at 0/12 dB" in [column.header for column in table.columns]


# --- what is refused


def refused(capsys, *arguments, code: int) -> str:
    ended, out, err = run_cli(capsys, *arguments)
    assert (ended, out) == (code, "")
    (line,) = [line for line in err.splitlines() if line.startswith("streamgmm: error: ")]
    return line


def test_what_makes_no_sense_is_one_line_and_changes_nothing(capsys, model, heard, tmp_path):
    before = contents(model)
    assert "--back goes alone" in refused(capsys, "retrain", model, "--back", "--force", code=64)
    assert "required" in refused(capsys, "retrain", model, code=64)
    assert "not allowed with" in refused(capsys, "retrain", model, "--back", "--clips", heard, code=64)
    assert "there are no reviewed clips" in refused(capsys, "retrain", model, "--clips", tmp_path, code=66)
    shutil.rmtree(heard / "accepted" / "doorbell")
    assert "no reviewed clip can be used" in refused(capsys, "retrain", model, "--clips", heard, code=65)
    assert contents(model) == before


def test_a_model_without_its_memory_and_one_that_is_read_only_are_refused(capsys, model, heard):
    arguments = ("retrain", model, "--clips", heard)
    model.chmod(0o444)
    assert "the model is read-only" in refused(capsys, *arguments, code=77)
    model.chmod(0o644)
    previous_path(model).mkdir()
    assert "my.previous.sgm" in refused(capsys, *arguments, code=73)
    previous_path(model).rmdir()
    cache_path(model).unlink()
    assert "the training cache of the model is missing" in refused(capsys, *arguments, code=66)


def test_damaged_clips_are_left_out_with_a_warning(capsys, model, heard):
    (heard / "accepted" / "doorbell" / "3.wav").write_bytes(b"RIFF")
    code, out, err = run_cli(capsys, "retrain", model, "--clips", heard, "--force")
    assert (code, "new clips: doorbell 3" in out, "3.wav" in err) == (0, True, True)


def test_it_waits_for_whoever_changes_the_model(model, heard):
    with model_lock(model, pytest.fail):
        process = spawn_cli("retrain", model, "--clips", heard)
        assert "waiting for process" in present(process.stderr).readline()
    _, err = process.communicate(timeout=120)
    assert process.returncode == 0, err


def test_ctrl_c_midway_leaves_the_old_model(model, heard):
    before = contents(model)
    preparation = (
        "from streamgmm.training.enrolment import refitting; import sys\n"
        "fit = refitting.fit_calibrated\n"
        "def slow(*given):\n    print('fitting', file=sys.stderr, flush=True)\n"
        "    while True: fit(*given)\n"
        "refitting.fit_calibrated = slow"
    )
    process = spawn_main(preparation, "retrain", model, "--clips", heard)
    assert present(process.stderr).readline() == "fitting\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, "Traceback" in err) == (-signal.SIGINT, "", False)
    assert contents(model) == before
