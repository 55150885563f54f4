from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamgmm.model.file import save_model
from tests.cli.cli_rig import run_cli
from tests.model.model_rig import N_FRAME_FEATURES, make_model


@pytest.fixture
def model_path(tmp_path: Path) -> Path:
    path = tmp_path / "yard.sgm"
    save_model(make_model(), path)
    return path


def test_show_prints_labels_features_and_the_card(capsys: pytest.CaptureFixture[str], model_path: Path) -> None:
    code, out, err = run_cli(capsys, "model", "show", model_path)
    assert (code, err) == (0, "")
    rows = [line.split() for line in out.splitlines()]
    assert ["name", "yard"] in rows
    assert ["spec.sample_rate_hz", "8000"] in rows
    assert ["dog", "2", "diag", "1", "-40.0", "onset_threshold", "0.7"] in rows
    assert ["glass", "3", "diag", "1", "-40.0"] in rows
    assert ["n_clips.dog", "12"] in rows


def test_show_json_is_one_object(capsys: pytest.CaptureFixture[str], model_path: Path) -> None:
    shown = json.loads(run_cli(capsys, "model", "show", "--json", model_path).out)
    assert list(shown["labels"]) == ["dog", "glass"]
    assert shown["labels"]["dog"]["decision"] == {"onset_threshold": 0.7}
    assert shown["card"]["f1"] == 0.91
    assert shown["spec"]["n_bands"] == 8
    assert shown["frames"] == {}


def test_show_tells_of_frames_where_they_take_part(capsys: pytest.CaptureFixture[str], model_path: Path) -> None:
    save_model(make_model(n_cepstral_features=N_FRAME_FEATURES), model_path)
    shown = json.loads(run_cli(capsys, "model", "show", "--json", model_path).out)
    assert shown["frames"] == {"weight": 2.5, "n_features": N_FRAME_FEATURES, "n_components": 9}


def test_verify_accepts_a_whole_model_and_its_own_hash(capsys: pytest.CaptureFixture[str], model_path: Path) -> None:
    code, out, _ = run_cli(capsys, "model", "verify", model_path)
    sha256 = out.split()[-1]
    assert (code, len(sha256)) == (0, 64)
    assert run_cli(capsys, "model", "verify", model_path, "--sha256", sha256.upper()).code == 0


def test_verify_refuses_another_hash(capsys: pytest.CaptureFixture[str], model_path: Path) -> None:
    code, out, err = run_cli(capsys, "model", "verify", model_path, "--sha256", "0" * 64)
    assert (code, out) == (65, "")
    assert "not the one given" in err


@pytest.mark.parametrize("digits", ["", "abc", "g" * 64, "0" * 65])
def test_verify_wants_a_hash_of_64_digits(capsys: pytest.CaptureFixture[str], model_path: Path, digits: str) -> None:
    assert run_cli(capsys, "model", "verify", model_path, f"--sha256={digits}").code == 64


@pytest.mark.parametrize("action", ["show", "verify"])
def test_D1_D2_missing_and_damaged_models_are_told_apart(
    capsys: pytest.CaptureFixture[str], model_path: Path, action: str
) -> None:
    assert run_cli(capsys, "model", action, model_path.parent / "none.sgm").code == 66
    content = bytearray(model_path.read_bytes())
    content[-1] ^= 1
    model_path.write_bytes(content)
    code, out, err = run_cli(capsys, "model", action, model_path)
    assert (code, out, err.count("\n")) == (65, "", 1)
