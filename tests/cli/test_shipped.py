"""Commands that take the model in the box when none is given, and those that do not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest

from streamgmm.cli.models import load_chosen_or_shipped_model
from streamgmm.demo.recordings import write_wav
from streamgmm.model.file import save_model
from streamgmm.model.shipped import load_shipped_model
from streamgmm.settings.loading import load_config
from tests.cli.cli_rig import run_cli, spawn_cli

RATE_HZ = 44100
SAYS = "streamgmm: no model is given: using the bundled model esc10, which detects baby_cry, chainsaw, "


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A second and a half of noise."""
    path = tmp_path_factory.mktemp("noise") / "noise.wav"
    noise = 0.1 * np.random.default_rng(0).standard_normal(3 * RATE_HZ // 2)
    write_wav(path, noise.astype(np.float32), RATE_HZ)
    return path


def ended(*arguments: object) -> tuple[str, str]:
    process = spawn_cli(*arguments)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out, err


@pytest.mark.parametrize("command", ["run", "classify"])
def test_the_hello_names_it_and_one_line_on_stderr_tells_of_it(recording: Path, command: str) -> None:
    out, err = ended(command, *(["--source", f"file:{recording}"] if command == "run" else [recording]))
    hello, *_ = map(json.loads, out.splitlines())
    model = load_shipped_model()
    assert (hello["type"], hello["model"]["name"], hello["model"]["sha256"]) == ("hello", "esc10", model.sha256)
    assert hello["labels"] == list(model.labels)
    told = [line for line in err.splitlines() if "model" in line]
    assert len(told) == 1
    assert told[0].startswith(SAYS)
    assert "streamgmm train" in told[0]


def test_explain_takes_it_too(recording: Path) -> None:
    out, err = ended("explain", recording, "--at", 1)
    assert (err.startswith(SAYS), err.count("\n")) == (True, 1)
    assert SAYS not in out
    assert "rain" in out


def test_a_settings_file_with_an_empty_path_means_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "c.yaml").write_text('model:\n  path: ""\n')
    caplog.set_level("INFO", "streamgmm")
    model = load_chosen_or_shipped_model(load_config(tmp_path / "c.yaml"))
    assert model.sha256 == load_shipped_model().sha256
    assert SAYS.removeprefix("streamgmm: ") in caplog.text


@pytest.mark.parametrize("is_in_file", [False, True])
def test_a_model_that_is_given_is_taken_and_nothing_said(
    capsys, caplog, recording: Path, demo_model: Path, tmp_path: Path, is_in_file: bool
) -> None:
    (tmp_path / "c.yaml").write_text(f'model:\n  path: "{demo_model}"\n')
    caplog.set_level("INFO", "streamgmm")
    options = ("--config", tmp_path / "c.yaml") if is_in_file else ("--model", demo_model)
    code, out, _ = run_cli(capsys, "classify", recording, *options)
    assert (code, json.loads(out.splitlines()[0])["model"]["name"]) == (0, "demo")
    assert "bundled" not in caplog.text


def test_the_answer_for_a_clip_holds_the_numbers_that_decided(capsys, recording: Path) -> None:
    answer = json.loads(run_cli(capsys, "classify", recording, "--clip").out)
    assert list(answer) == ["path", "label", "score", "known", "scores"]
    assert answer["score"] == max(answer["scores"].values())
    assert 0.0 < answer["known"] < 1.0
    least = load_shipped_model().classifier.clips.min_in_domain_score
    assert (answer["label"] == "unknown") == (answer["known"] < least)


def test_a_model_that_is_given_and_missing_is_not_replaced_by_it(capsys, recording: Path, tmp_path: Path) -> None:
    assert run_cli(capsys, "classify", recording, "--model", tmp_path / "none.sgm").code == 66


def test_D10_settings_of_the_features_that_are_not_its_own_are_refused(capsys, recording: Path) -> None:
    code, out, err = run_cli(capsys, "classify", recording, "--set", "features.n_bands=16")
    assert (code, out) == (78, "")
    assert "features.n_bands is 16, but the model was trained with 32" in err


def told_of_thresholds(recording: Path, *settings: str) -> list[str]:
    options = [word for setting in settings for word in ("--set", setting)]
    process = spawn_cli("classify", recording, *options)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0
    return [line for line in err.splitlines() if "does not count" in line]


def test_a_common_threshold_that_counts_for_no_label_is_told(recording: Path) -> None:
    (line,) = told_of_thresholds(recording, "decision.onset_threshold=0.5")
    assert "decision.onset_threshold=0.5 does not count for baby_cry, chainsaw, " in line
    assert line.endswith("the model has thresholds of its own; set decision.labels.LABEL.onset_threshold")


def test_a_common_threshold_of_which_nobody_expects_more_is_not(recording: Path) -> None:
    assert told_of_thresholds(recording, "decision.onset_threshold=0.7") == []
    labels = {label: {"onset_threshold": 0.6} for label in load_shipped_model().labels}
    assert told_of_thresholds(recording, "decision.onset_threshold=0.5", f"decision.labels={json.dumps(labels)}") == []


def test_D10_defaults_that_leave_the_choice_to_the_training_contradict_no_model(capsys, recording, tmp_path) -> None:
    model = load_shipped_model()
    save_model(replace(model, spec=msgspec.structs.replace(model.spec, window_s=2.0)), tmp_path / "long.sgm")
    written = tmp_path / "mine.yaml"
    written.write_text(run_cli(capsys, "config", "show", "--annotated").out)
    given = ("classify", recording, "--model", tmp_path / "long.sgm", "--config", written)
    assert run_cli(capsys, *given).code == 0
    code, _, err = run_cli(capsys, *given, "--set", "features.window_s=0.5")
    assert code == 78
    assert "features.window_s is 0.5, but the model was trained with 2.0" in err


def test_show_without_a_file_shows_it(capsys) -> None:
    shown = json.loads(run_cli(capsys, "model", "show", "--json").out)
    assert (shown["name"], shown["memory"]) == ("esc10", "none")
    assert "Karol J. Piczak" in shown["card"]["credit"]


def test_it_cannot_be_tuned_enrolled_in_or_forgotten_of_without_being_named(capsys, recording: Path) -> None:
    assert run_cli(capsys, "tune", "--background", recording, "--max-false-alarms-per-hour", 1).code == 64
    assert run_cli(capsys, "enrol", "kettle", recording).code == 64
    assert run_cli(capsys, "forget", "rain").code == 64
