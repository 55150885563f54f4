from __future__ import annotations

import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest

from streamgmm.demo.recordings import render_clip, write_wav
from streamgmm.model.file import load_model, save_model
from tests.cli.cli_rig import run_cli, spawn_cli
from tests.conftest import DEMO_LABELS, DEMO_RATE_HZ
from tests.tuning.tuning_rig import with_copies

BUDGET = "--max-false-alarms-per-hour"
QUICK = ("--set", "training.n_jobs=1")


@pytest.fixture(scope="module")
def noises(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of background: sounds that the model never learnt, one after the other."""
    folder = tmp_path_factory.mktemp("noises")
    for number, label in enumerate(("bird_song", "phone_ring")):
        clips = [render_clip(label, np.random.default_rng((number, i)), DEMO_RATE_HZ) for i in range(3)]
        write_wav(folder / f"{label}.wav", np.concatenate(clips), DEMO_RATE_HZ)
    return folder


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip of each label of the model."""
    folder = tmp_path_factory.mktemp("events")
    for label in DEMO_LABELS:
        (folder / label).mkdir()
        write_wav(folder / label / "0.wav", render_clip(label, np.random.default_rng(77), DEMO_RATE_HZ), DEMO_RATE_HZ)
    return folder


@pytest.fixture
def model(demo_model, tmp_path) -> Path:
    return Path(shutil.copy(demo_model, tmp_path / "my.sgm"))


def starts(out: str) -> int:
    return sum(json.loads(line)["type"] == "start" for line in out.splitlines())


def test_a_process_tunes_the_model_in_place_and_classify_follows_it_without_any_option(
    model, demo_model, demo_scene, events, tmp_path
):
    before = model.read_bytes()
    options = ("--events", events, "--json", tmp_path / "t.json", "--picture", tmp_path / "t.png")
    process = spawn_cli("tune", model, "--background", demo_scene, BUDGET, "600", *options)
    out, err = process.communicate(timeout=120)
    assert (process.returncode, err) == (0, f"wrote {model}\n")
    result = json.loads((tmp_path / "t.json").read_text())
    assert result["n_alarms"] < result["n_alarms_before"]
    assert f"in 0.02 hours of background: {result['n_alarms']}, before {result['n_alarms_before']};" in out
    assert "at most" in out
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")
    assert model.read_bytes() != before
    decision = load_model(model).decision
    changed = {label for label, row in result["labels"].items() if row["is_changed"]}
    assert set(decision) == changed != set()
    for path, n_alarms in ((demo_model, result["n_alarms_before"]), (model, result["n_alarms"])):
        records, _ = spawn_cli("classify", demo_scene, "--model", path).communicate(timeout=60)
        assert starts(records) == n_alarms


def test_folders_are_heard_in_several_processes_with_the_same_result(capsys, model, noises, tmp_path):
    files = [tmp_path / f"{n_jobs}.json" for n_jobs in (1, 2)]
    for n_jobs, path in enumerate(files, start=1):
        arguments = (BUDGET, "500", "--dry-run", "--json", path, "--set", f"training.n_jobs={n_jobs}")
        assert run_cli(capsys, "tune", model, "--background", noises, *arguments).code == 0
    assert files[0].read_bytes() == files[1].read_bytes()
    assert json.loads(files[0].read_text())["n_recordings"] == 2


def test_a_dry_run_writes_no_model_and_says_what_cannot_be_concluded(capsys, model, noises):
    before = model.read_bytes()
    code, out, err = run_cli(capsys, "tune", model, "--background", noises, BUDGET, "200", "--dry-run", *QUICK)
    assert (code, err, model.read_bytes()) == (0, "", before)
    assert "these hours prove no more than at most" in out
    assert "the cost in recall is not known" in out
    assert "sounds of these labels that occur in the background were counted as false alarms" in out


@pytest.mark.parametrize(("budget", "is_deafening"), [("0.1", True), ("500", False)])
def test_thresholds_that_hardly_a_sound_reaches_are_told(capsys, model, noises, budget, is_deafening):
    code, out, _ = run_cli(capsys, "tune", model, "--background", noises, BUDGET, budget, "--dry-run", *QUICK)
    assert (code, "few sounds score as high as the thresholds of" in out) == (0, is_deafening)


def test_another_output_leaves_the_model_as_it_was(capsys, model, noises, tmp_path):
    before = model.read_bytes()
    code, _, _ = run_cli(
        capsys, "tune", model, "--background", noises, BUDGET, "200", "-o", tmp_path / "calm.sgm", *QUICK
    )
    assert (code, model.read_bytes()) == (0, before)
    card = load_model(tmp_path / "calm.sgm").card["tuning"]
    assert card["budget_per_hour"] == 200.0
    assert not any(str(noises) in str(value) for value in card.values())


def test_a_budget_that_cannot_be_met_writes_nothing_and_names_labels(capsys, model, demo_scene):
    before = model.read_bytes()
    code, out, err = run_cli(capsys, "tune", model, "--background", demo_scene, BUDGET, "1e-9", *QUICK)
    assert (code, out, err.count("\n"), model.read_bytes()) == (65, "", 1, before)
    assert "no threshold keeps false alarms within 1e-09 per hour" in err
    assert any(f"'{label}'" in err for label in DEMO_LABELS)


def test_a_background_with_a_taught_sound_is_refused_unless_accepted(capsys, model, demo_scene):
    loaded = load_model(model)
    save_model(with_copies(loaded, **{label: [0.7, 0.8] for label in DEMO_LABELS}), model)
    before = model.read_bytes()
    arguments = ("tune", model, "--background", demo_scene, BUDGET, "10", *QUICK)
    code, out, err = run_cli(capsys, *arguments)
    assert (code, out, err.count("\n"), model.read_bytes()) == (65, "", 1, before)
    assert "the background seems to hold taught sounds: '" in err
    assert "taught sounds" not in run_cli(capsys, *arguments, "--accept-events").err


def test_a_silent_background_is_refused(capsys, model, tmp_path):
    write_wav(tmp_path / "night.wav", np.zeros(40000, np.float32), DEMO_RATE_HZ)
    code, _, err = run_cli(capsys, "tune", model, "--background", tmp_path / "night.wav", BUDGET, "1", *QUICK)
    assert (code, "silent throughout" in err) == (65, True)


def test_what_cannot_be_read_in_a_folder_is_told_and_left_out(capsys, model, noises, tmp_path):
    folder = shutil.copytree(noises, tmp_path / "noises")
    (folder / "broken.wav").write_text("no sound")
    code, _, err = run_cli(capsys, "tune", model, "--background", folder, BUDGET, "500", "--dry-run", *QUICK)
    assert (code, "is not a recording" in err, "broken.wav" in err) == (0, True, True)


def test_events_that_were_trained_on_are_told(capsys, model, demo_model, noises, events):
    told = "the model was trained on these events"
    arguments = ("tune", model, "--background", noises, BUDGET, "600", "--dry-run", "--events")
    assert told in run_cli(capsys, *arguments, demo_model.parent / "recordings").err
    assert told not in run_cli(capsys, *arguments, events).err


def test_labels_of_events_that_the_model_does_not_know_are_refused(capsys, model, noises, tmp_path):
    for label in ("owl", "siren"):
        (tmp_path / "strange" / label).mkdir(parents=True)
        shutil.copy(noises / "bird_song.wav", tmp_path / "strange" / label)
    options = ("--background", noises, BUDGET, "1", "--events", tmp_path / "strange")
    code, _, err = run_cli(capsys, "tune", model, *options, *QUICK)
    assert (code, "labels that the model does not have: 'owl'" in err) == (65, True)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (
            [BUDGET, "0"],
            64,
            "is 0, must be above 0 and at most 3600 (no number of hours can prove a rate of 0)",
        ),
        ([BUDGET, "-1"], 64, "is -1, must be above 0"),
        ([BUDGET, "nan"], 64, "is nan, must be above 0"),
        ([BUDGET, "inf"], 64, "is inf, must be above 0"),
        ([BUDGET, "few"], 64, "invalid float value"),
        ([], 64, "required: --max-false-alarms-per-hour"),
        ([BUDGET, "1", "-o", "my.wav"], 64, "not the name of a model file"),
        ([BUDGET, "1", "--json", "no/such/t.json"], 73, "no/such/t.json: cannot be written"),
        ([BUDGET, "1", "--picture", "no/such/t.png"], 73, "no/such/t.png: cannot be written"),
        ([BUDGET, "1", "--picture", "t.xyz"], 64, "drawn as PNG or SVG, not as .xyz"),
        (
            [BUDGET, "1", "--set", "decision.labels.siren={onset_threshold: 0.9}"],
            78,
            "decision.labels.siren: takes precedence",
        ),
        ([BUDGET, "1", "--background", "no: [such"], 66, "no: [such: there is no such file"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_heard(
    capsys, model, noises, tmp_path, monkeypatch, arguments, code, says
):
    monkeypatch.setattr("streamgmm.listening.recordings.RecordingFile.open", lambda *_: pytest.fail("heard"))
    monkeypatch.chdir(tmp_path)
    background = [] if "--background" in arguments else ["--background", noises]
    ended, out, err = run_cli(capsys, "tune", model, *background, *arguments, *QUICK)
    assert (ended, out, err.count("\n")) == (code, "", 1)
    assert says in err


def test_an_empty_folder_is_no_background(capsys, model, tmp_path):
    (tmp_path / "empty").mkdir()
    code, _, err = run_cli(capsys, "tune", model, "--background", tmp_path / "empty", BUDGET, "1")
    assert (code, "holds no recordings" in err) == (65, True)


def test_a_number_of_hours_is_finite_in_the_json(capsys, model, noises, tmp_path):
    run_cli(capsys, "tune", model, "--background", noises, BUDGET, "500", "--json", tmp_path / "t.json", *QUICK)
    result = json.loads((tmp_path / "t.json").read_text())
    assert all(math.isfinite(value) for value in result.values() if isinstance(value, float))
