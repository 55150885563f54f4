from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from streamgmm.demo.sounds import SOUNDS
from streamgmm.model.file import load_model
from tests.cli.cli_rig import run_cli, spawn_cli

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_demo_learns_listens_and_shows_within_a_minute(tmp_path):
    pytest.importorskip("matplotlib")
    picture, kept = tmp_path / "scene.png", tmp_path / "kept"
    busy_before_s = busy_s()
    process = spawn_cli("demo", "--picture", picture, "--keep", kept, cwd=tmp_path)
    out, err = process.communicate(timeout=590)
    assert (process.returncode, err) == (0, "")
    # What one core does in a minute, however busy the machine is with other things.
    assert busy_s() - busy_before_s < 60
    assert picture.read_bytes().startswith(PNG)
    rows = {row[0]: row[1:] for row in (line.replace("│", " ").split() for line in out.splitlines()) if len(row) > 5}
    assert set(SOUNDS) <= set(rows)
    n_true, n_found, n_missed, n_false = map(int, rows["all"][:4])
    assert n_found + n_missed == n_true
    assert n_missed <= n_true // 5
    assert n_false <= n_true // 5
    assert f"picture: {picture}\n" in out
    assert "\x1b" not in out
    assert set(load_model(kept / "demo.sgm").labels) == {*SOUNDS, "background"}
    assert (kept / "scene.wav").exists()


def busy_s() -> float:
    """What the children that have ended took of the processor."""
    times = os.times()
    return times.children_user + times.children_system


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--seed", "-1"], 64, "--seed is -1, must be 0 or more"),
        (["--picture", "no/such/scene.png"], 73, "cannot be written: No such file or directory"),
        (["--picture", "."], 73, "is a folder"),
        (["--picture", "a.jpg"], 64, "a.jpg: pictures are drawn as PNG or SVG, not as .jpg"),
        (["--picture", "a.pdf"], 64, "end the name in .png or .svg"),
    ],
)
def test_what_makes_no_sense_is_refused_before_the_work(capsys, tmp_path, monkeypatch, arguments, code, says):
    monkeypatch.setattr("streamgmm.cli.demo.write_training_set", lambda *_: pytest.fail("begun"))
    monkeypatch.chdir(tmp_path)
    ended, out, err = run_cli(capsys, "demo", *arguments)
    assert (ended, out, err.count("\n")) == (code, "", 1)
    assert says in err


def test_F28_without_matplotlib_a_picture_that_was_asked_for_is_refused_before_the_work(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("streamgmm.cli.demo.write_training_set", lambda *_: pytest.fail("begun"))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    code, _, err = run_cli(capsys, "demo", "--picture", tmp_path / "a.png")
    assert (code, err) == (64, 'streamgmm: error: a picture needs matplotlib (pip install "streamgmm[plot]")\n')


class _BegunError(Exception):
    pass


def _begin(*_):
    raise _BegunError


def test_without_matplotlib_a_demo_says_at_the_start_that_there_will_be_no_picture(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("streamgmm.cli.demo.write_training_set", _begin)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    _, out, _ = run_cli(capsys, "demo")
    assert out.startswith("there will be no picture: a picture needs matplotlib")


def test_a_place_where_nothing_can_be_kept_is_refused(capsys, tmp_path):
    (tmp_path / "file").touch()
    code, _, err = run_cli(capsys, "demo", "--keep", Path(tmp_path / "file"))
    assert code == 73
    assert "Traceback" not in err
