from __future__ import annotations

import argparse
import io
import json
import re
import shutil

import numpy as np
import pytest

from streamgmm.cli.explanation_tables import comparison_line, print_explanation, summary
from streamgmm.cli.parsers.explain import parse_time_s
from streamgmm.demo.recordings import write_wav
from streamgmm.explanation.explaining import explain
from tests.cli.cli_rig import run_cli, spawn_cli
from tests.conftest import DEMO_RATE_HZ
from tests.explanation.explanation_rig import CONFIG, in_blocks, noise, random_model
from tests.narrowing import present


@pytest.fixture(scope="module")
def siren_at(demo_model, demo_scene) -> float:
    """A moment at which an event of the siren is open, told by `classify`."""
    records, _ = spawn_cli("classify", demo_scene, "--model", demo_model).communicate(timeout=60)
    start = next(
        one for one in map(json.loads, records.splitlines()) if (one["type"], one.get("label")) == ("start", "siren")
    )
    return float(start["t"])


def rows(out: str, heading: str) -> dict[str, list[str]]:
    """The rows of the table below `heading`: name to cells, which are divided by two spaces or more."""
    lines = out[out.index(heading) :].splitlines()
    rule = next(i for i, line in enumerate(lines) if set(line.strip()) == {"─"})
    cells = [re.split(r"\s{2,}", line.strip()) for line in lines[rule + 1 :]]
    return {name: values for name, *values in cells[: cells.index([""]) if [""] in cells else None]}


def test_a_process_tells_what_classify_told(demo_model, demo_scene, siren_at, tmp_path):
    files = ("--json", tmp_path / "e.json", "--picture", tmp_path / "e.png")
    process = spawn_cli("explain", demo_scene, "--at", siren_at, "--model", demo_model, *files)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (0, "")
    result = json.loads((tmp_path / "e.json").read_text())
    assert (result["t"], result["label"], result["best"], result["reject"]) == (siren_at, "siren", "siren", None)
    assert result["labels"]["siren"]["state"] == "open"
    assert (tmp_path / "e.png").read_bytes().startswith(b"\x89PNG")
    assert f"to {siren_at:.3f} s" in out
    assert "answer: siren\n" in out
    assert re.search(r"open events:.* siren since \d", out)
    assert max(len(line) for line in out.splitlines() if "─" in line) <= 80


def test_the_tables_hold_the_numbers_of_the_json(capsys, demo_model, demo_scene, siren_at, tmp_path):
    options = ("--json", tmp_path / "e.json", "--against", "background")
    code, out, _ = run_cli(capsys, "explain", demo_scene, "--at", siren_at, "-m", demo_model, *options)
    result = json.loads((tmp_path / "e.json").read_text())
    comparison = result["comparison"]
    assert (code, comparison["label"], comparison["against"]) == (0, "siren", "background")
    assert f"siren rather than background: {comparison['llr']:+.2f} nat" in out
    parts = rows(out, "In nat, by kind and by band")
    kinds = {name: float(values[-1]) for name, values in parts.items()}
    assert kinds["sum"] == pytest.approx(comparison["llr"], abs=0.0051)
    assert sum(kinds.values()) - kinds["sum"] == pytest.approx(comparison["llr"], abs=0.1)
    for name in ("tonality", "kurtosis"):
        in_all = sum(part["nats"] for part in comparison["parts"] if part["kind"] == name)
        assert kinds[name] == pytest.approx(in_all, abs=0.0051)
    siren = rows(out, "Labels, best first")["siren"]
    assert float(siren[1]) == pytest.approx(result["labels"]["siren"]["smoothed_posterior"], abs=5.1e-5)
    gates = rows(out, "Gates, in their order")
    assert [values[-1] for values in gates.values()] == ["passed"] * 4 + ["reached"]


@pytest.mark.parametrize("has_cepstra", [False, True])
def test_cells_of_a_row_and_of_a_column_add_up(has_cepstra):
    from rich.console import Console

    model = random_model(has_cepstra=has_cepstra)
    console = Console(width=120, file=io.StringIO(), record=True)
    print_explanation(explain(in_blocks(noise()), model, CONFIG, 2.7).explanation, model.spec, console)
    parts = rows(console.export_text(), "In nat, by kind and by band")
    assert ("cepstral frames" in parts) == has_cepstra
    *cells, total = (float(value) for value in parts["sum"])
    baseline = float(parts["at training mean"][-1])
    frames = float(parts["cepstral frames"][-1]) if has_cepstra else 0.0
    assert sum(cells) + baseline + frames == pytest.approx(total, abs=0.05 * len(cells) + 0.02)  # cells are rounded
    for name in ("kurtosis", "attack asymmetry"):
        *cells, total = (float(value) for value in parts[name])
        assert sum(cells) == pytest.approx(total, abs=0.05 * len(cells) + 0.01)


def test_time_in_minutes_is_the_same_moment(capsys, demo_model, demo_scene):
    outs = [run_cli(capsys, "explain", demo_scene, "--at", at, "-m", demo_model).out for at in ("21.5", "0:21.5")]
    assert outs[0] == outs[1] != ""


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0.0), ("75.5", 75.5), (".5", 0.5), ("7.", 7.0), ("1:15.5", 75.5), ("61:00", 3660.0), ("1:01:05", 3665.0)],
)
def test_times(text, seconds):
    assert parse_time_s(text) == seconds


@pytest.mark.parametrize("text", ["", "-1", "nan", "inf", "1e3", "1:", ":5", "1:2:3:4", "1.5:20", "soon", "1" * 400])
def test_what_is_no_time(text):
    with pytest.raises(argparse.ArgumentTypeError, match="is not a time"):
        parse_time_s(text)


def test_silence_is_told_and_nothing_else(capsys, demo_model, tmp_path):
    write_wav(tmp_path / "night.wav", np.zeros(3 * DEMO_RATE_HZ, np.float32), DEMO_RATE_HZ)
    options = ("--picture", tmp_path / "e.svg", "--json", tmp_path / "e.json")
    code, out, _ = run_cli(capsys, "explain", tmp_path / "night.wav", "--at", 2, "-m", demo_model, *options)
    assert code == 0
    assert "answer: silence: the level is below the silence gate, so nothing else was checked" in out
    assert "rather than" not in out
    assert [values[-1] for values in rows(out, "Gates, in their order").values()] == ["rejected"] + ["not checked"] * 3
    assert (tmp_path / "e.svg").read_bytes().startswith(b"<?xml")
    assert json.loads((tmp_path / "e.json").read_text())["comparison"] is None


def test_nan_in_a_file_is_told(capsys, demo_model, tmp_path):
    import soundfile

    samples = np.random.default_rng(0).normal(0.0, 0.1, 2 * DEMO_RATE_HZ).astype(np.float32)
    samples[DEMO_RATE_HZ] = np.nan
    soundfile.write(tmp_path / "nan.wav", samples, DEMO_RATE_HZ, subtype="FLOAT")
    code, out, _ = run_cli(capsys, "explain", tmp_path / "nan.wav", "--at", 1.1, "-m", demo_model)
    assert (code, "a sample is NaN, infinite or far above full scale, so nothing was scored" in out) == (0, True)


def test_settings_change_what_is_said(capsys, demo_model, demo_scene, siren_at):
    arguments = ("explain", demo_scene, "--at", siren_at, "-m", demo_model, "--set")
    strict = run_cli(capsys, *arguments, "decision.min_llr=1000").out
    assert "answer: background: siren is the best label, but the window is not enough more likely" in strict
    patient = run_cli(capsys, *arguments, "decision.labels.siren={onset_threshold: 0.99999}").out
    assert "not reached" in patient
    assert "open events: none" in patient


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--at", "61"], 64, "61 s is beyond the end (the recording lasts 60.000 s)"),
        (["--at", "-1"], 64, "--at"),
        (["--at", "soon"], 64, "argument --at: soon is not a time; write seconds, as 75.5, or 1:15.5"),
        ([], 64, "required: --at"),
        (["--at", "1", "--against", "sirn"], 64, "has no such label (did you mean siren?)"),
        (["--at", "1", "--json", "no/such/e.json"], 73, "no/such/e.json: cannot be written"),
        (["--at", "1", "--picture", "no/such/e.png"], 73, "no/such/e.png: cannot be written"),
        (["--at", "1", "--picture", "e.xyz"], 64, "drawn as PNG or SVG, not as .xyz"),
        (["--at", "1", "--set", "decision.labels.sirn={onset_threshold: 0.9}"], 78, "the model has no such label"),
    ],
)
def test_what_makes_no_sense_is_told_in_one_line(capsys, demo_model, demo_scene, arguments, code, says):
    ended, out, err = run_cli(capsys, "explain", demo_scene, "-m", demo_model, *arguments)
    assert (ended, out, err.count("\n")) == (code, "", 1)
    assert says in err


def test_files_that_are_none_are_told(capsys, demo_model, demo_scene, tmp_path):
    assert run_cli(capsys, "explain", tmp_path / "none.wav", "--at", 1, "-m", demo_model).code == 66
    shutil.copy(demo_model, tmp_path / "a.wav")
    assert run_cli(capsys, "explain", tmp_path / "a.wav", "--at", 1, "-m", demo_model).code == 65


def test_the_first_window_says_how_little_it_holds():
    found = explain(in_blocks(noise()), random_model(), CONFIG, 0.0).explanation
    first, *_ = summary(found)
    assert first.startswith("window 0.000 to 0.128 s, 25% of a whole one; its last hop has -")
    assert "(priors)" not in comparison_line(present(found.comparison))
