from __future__ import annotations

from pathlib import Path

import pytest

from streamgmm.settings.config import Config
from streamgmm.settings.text import annotated_yaml, plain_yaml
from tests.cli.cli_rig import run_cli


def test_show_without_a_file_prints_the_annotated_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(capsys, "config", "show") == (0, annotated_yaml(Config()), "")
    assert run_cli(capsys, "config", "show", "--annotated").out == annotated_yaml(Config())
    assert run_cli(capsys, "config", "show", "--effective").out == plain_yaml(Config())


def test_show_prints_what_can_be_used_again(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    first = run_cli(capsys, "config", "show", "--set", "decision.labels.dog.onset_threshold=0.7", "--set=source.pace=1")
    (tmp_path / "c.yaml").write_text(first.out)
    assert run_cli(capsys, "config", "show", "--config", tmp_path / "c.yaml").out == first.out
    assert "  labels: {dog: {onset_threshold: 0.7}}" in first.out
    assert "  pace: 1 " in first.out


def test_show_follows_the_users_own_file(
    capsys: pytest.CaptureFixture[str], no_settings_of_the_developer: Path
) -> None:
    path = no_settings_of_the_developer / "streamgmm" / "config.yaml"
    path.parent.mkdir()
    path.write_text("training: {seed: 42}")
    assert "  seed: 42\n" in run_cli(capsys, "config", "show", "--effective").out


def test_show_follows_the_variable(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "c.yaml").write_text("training: {seed: 42}")
    (tmp_path / "option.yaml").write_text("training: {seed: 43}")
    monkeypatch.setenv("STREAMGMM_CONFIG", str(tmp_path / "c.yaml"))
    show = ("config", "show", "--effective")
    assert "  seed: 42\n" in run_cli(capsys, *show).out
    assert "  seed: 43\n" in run_cli(capsys, *show, "--config", tmp_path / "option.yaml").out


def test_show_takes_one_style(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(capsys, "config", "show", "--annotated", "--effective").code == 64


def test_check_accepts_and_counts(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("source: {uri: mic}\nmodel: {path: m.sgm}\n")
    assert run_cli(capsys, "config", "check", path) == (0, f"{path}: ok, 2 settings\n", "")


def test_C3_C4_check_tells_all_problems_one_a_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("decision:\n  threshhold: 0.5\n  hangover_s: -1\n")
    code, out, err = run_cli(capsys, "config", "check", path)
    assert (code, out) == (78, "")
    assert [line.removeprefix(f"streamgmm: error: {path}:") for line in err.splitlines()] == [
        "2:3: decision.threshhold: unknown key, did you mean onset_threshold?",
        "3:15: decision.hangover_s: got -1, wanted a number from 0 to 3600 s",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("source: {uri: foo}\n", ["1:15: source: foo: is not a source"]),
        ("sources:\n  a: foo\n  b: mic\n  c: {uri: bar}\n", ["2:6: sources.a: foo: is", "4:12: sources.c: bar: is"]),
        (
            "output:\n  sinks: [foo, 'stdout:', 'exec:no-such-program', {uri: 'tcp://0.0.0.0:1'}]\n",
            [
                "2:11: output.sinks: 'foo' is not a sink",
                "2:27: output.sinks: 'exec:no-such-program': there is no program",
                "2:57: output.sinks: 'tcp://0.0.0.0:1' can be reached from outside",
            ],
        ),
        ("output:\n  sinks: ['stdout:', 'stdout:']\n", ["2:10: output.sinks: 'stdout:' is given twice"]),
        ("sources: {a: 'pcm:-', b: 'pcm:-'}\n", ["1:10: sources.b: pcm:- is already the source 'a'"]),
        ("source: {uri: foo}\noutput: {sinks: [bar]}\n", ["1:15: source: foo", "2:18: output.sinks: 'bar'"]),
    ],
)
def test_C4_check_refuses_addresses_that_a_run_would_refuse(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, expected: list[str]
) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    code, out, err = run_cli(capsys, "config", "check", path)
    assert (code, out) == (78, "")
    lines = [line.removeprefix(f"streamgmm: error: {path}:") for line in err.splitlines()]
    assert len(lines) == len(expected)
    for line, begin in zip(lines, expected, strict=True):
        assert line.startswith(begin)


@pytest.mark.parametrize("command", [["config", "check"], ["config", "show", "--config"]])
def test_C1_a_missing_file_is_66(capsys: pytest.CaptureFixture[str], tmp_path: Path, command: list[str]) -> None:
    path = tmp_path / "none.yaml"
    assert run_cli(capsys, *command, path) == (66, "", f"streamgmm: error: {path}: no such file\n")


def test_C1_a_directory_is_66(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run_cli(capsys, "config", "check", tmp_path).code == 66
