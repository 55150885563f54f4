from __future__ import annotations

import json
from pathlib import Path

import pytest

from streamgmm.cli import bench
from tests.bench.bench_rig import SHORT, hide_others
from tests.cli.cli_rig import Outcome, run_cli


@pytest.fixture(autouse=True)
def short_bench(monkeypatch: pytest.MonkeyPatch) -> None:
    hide_others(monkeypatch)
    monkeypatch.setattr(bench, "BRIEF", SHORT)


def check_report(report: dict[str, object]) -> None:
    assert report["n_rounds"] == SHORT.n_rounds
    assert report.keys() >= {"machine", "features", "pipelines", "peers", "shares", "multiplications", "capacity"}


def test_it_prints_figures_names_missing_peers_and_writes_json_and_picture(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    files = ("--json", tmp_path / "b.json", "--picture", tmp_path / "b.svg")
    outcome = run_cli(capsys, "bench", "--brief", *files)
    assert (outcome.code, outcome.err) == (0, "")
    for text in ("kernel: ", "whole file, 44.1 kHz", "50 classes, cepstral frames", "microphones", "decision"):
        assert text in outcome.out
    assert "openSMILE was not measured" in outcome.out
    assert "pip install opensmile" in outcome.out
    check_report(json.loads((tmp_path / "b.json").read_text()))
    assert "pywt.cwt" in (tmp_path / "b.svg").read_text()


def test_json_on_stdout_is_alone_there(capsys: pytest.CaptureFixture[str]) -> None:
    outcome = run_cli(capsys, "bench", "--brief", "--json", "-")
    assert outcome.code == 0
    check_report(json.loads(outcome.out))
    assert "microphones" in outcome.err


def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: object) -> Outcome:
    """The outcome of a command that must fail before anything is measured."""
    monkeypatch.setattr(bench, "run_bench", lambda *_: pytest.fail("measured"))
    return run_cli(capsys, "bench", *arguments)


@pytest.mark.parametrize("option", ["--json", "--picture"])
def test_a_file_that_cannot_be_written_is_refused_before_measuring(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, option: str
) -> None:
    outcome = refused(capsys, monkeypatch, option, tmp_path / "none" / "b.png")
    assert outcome.code == 73
    assert "cannot be written" in outcome.err


def test_a_kernel_that_does_not_exist_is_a_mistake_in_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMGMM_KERNEL", "abacus")
    outcome = run_cli(capsys, "bench", "--brief")
    assert outcome.code == 78
    assert len(outcome.err.splitlines()) == 1
    assert "abacus" in outcome.err
