"""Options that cannot be true together, and paths that no shell has expanded."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.cli_rig import run_cli


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "--source", "file:a", "--source", "file:b"], "file:a: several sources need a name each"),
        (["run", "-s", "a=mic", "--source", "mic"], "mic: several sources need a name each"),
        (["run", "-s", "a=mic", "--source", "a=mic:2"], "a: two sources have this name"),
        (["run", "-m", "a", "--model", "b"], "--model is given twice, as a and as b"),
        (["run", "--pace", "1", "--pace=2"], "--pace is given twice, as 1 and as 2"),
        (["run", "-f", "text", "-f", "label"], "-f is given twice, as text and as label"),
        (["run", "-c", "a", "-c", "b"], "-c is given twice, as a and as b"),
        (["train", "x", "-o", "a.sgm", "-o", "b.sgm"], "-o is given twice, as a.sgm and as b.sgm"),
        (["evaluate", "x", "--seeds", "2", "--seeds", "3"], "--seeds is given twice, as 2 and as 3"),
        (["explain", "x", "--at", "1", "--at", "2"], "--at is given twice, as 1.0 and as 2.0"),
        (["service", "install", "-m", "a", "-m", "b"], "-m is given twice, as a and as b"),
        (["run", "-s", "mic", "--pace", "1"], "mic: --pace is for file:PATH"),
        (["run", "-s", "pcm:-", "--pace", "1"], "pcm:-: --pace is for file:PATH"),
        (["run", "-s", "file:a.wav", "--require-device"], "file:a.wav: --require-device is for a microphone"),
        (["run", "-s", "pcm:-", "--require-device"], "pcm:-: --require-device is for a microphone"),
        (["classify", "a.wav", "--clip", "--windows"], "--clip prints one line per file"),
        (["classify", "a.wav", "--clip", "--start-time", "2026-01-31T12:00:00Z"], "--clip prints one line per file"),
        (["classify", "a.wav", "--start-time", "9999-12-31T23:59:58Z"], "--start-time 9999-12-31T23:59:58Z is not"),
        (["classify", "a.wav", "--start-time", "0001-01-01T00:00:00+14:00"], "--start-time 0001-01-01T00:00:00+14:"),
        (["classify", "a.wav", "--start-time", "1899-12-31T23:59:59Z"], "--start-time 1899-12-31T23:59:59Z is not"),
        (["classify", "a.wav", "--jobs", "-1"], "--jobs is -1, must be 0 to 256"),
    ],
)
def test_C17_options_that_cannot_be_true_together_are_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    code, out, err = run_cli(capsys, *arguments)
    assert (code, out, err.count("\n")) == (64, "", 1)
    assert err.startswith(f"streamgmm: error: {says}")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["run", "-s", "mic", "--set", "source.uri=pcm:-"], 'source.uri is also given as "mic"'),
        (["run", "-k", "stdout:", "--set", "output.sinks=[]"], 'output.sinks is also given as ["stdout:"]'),
        (["run", "-m", "a", "--set", "model.path=b"], 'model.path is also given as "a"'),
        (["run", "-f", "text", "--set", "output.format=label"], 'output.format is also given as "text"'),
        (["run", "--windows", "--set", "output.windows=false"], "output.windows is also given as true"),
        (["run", "--pace", "1", "--set", "source.pace=2"], "source.pace is also given as 1"),
        (["classify", "x", "-m", "a", "--set", "model.path=b"], 'model.path is also given as "a"'),
        (["explain", "x", "--at", "1", "-m", "a", "--set", "model.path=b"], 'model.path is also given as "a"'),
        (["config", "show", "--set", "source.pace=1", "--set", "source.pace=2"], "source.pace is also given as 1"),
    ],
)
def test_an_option_and_a_setting_that_differ_are_refused(
    capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    code, out, err = run_cli(capsys, *arguments)
    assert (code, out, err.count("\n")) == (78, "", 1)
    assert says in err


def test_options_that_may_be_repeated_still_may(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--set", "source.pace=1", "--set", "source.ring_s=3", "--set", "source.pace=1"]
    code, out, _ = run_cli(capsys, "config", "show", "--effective", *options)
    assert code == 0
    assert "pace: 1\n" in out


@pytest.mark.parametrize(
    "arguments",
    [
        ["classify", "{}/a.wav"],
        ["classify", "--model={}/a.sgm", "a.wav"],
        ["config", "show", "--config={}/c.yaml"],
        ["config", "check", "{}/c.yaml"],
        ["model", "show", "{}/a.sgm"],
        ["model", "verify", "{}/a.sgm"],
        ["run", "--model={}/a.sgm"],
        ["run", "--source=file:{}/a.wav"],
        ["run", "--source=file:a.wav", "--sink=file://{}/no/a.jsonl"],
        ["run", "--source=file:a.wav", "--sink=unix://{}/no/folder/a.sock"],
        ["run", "--source=file:a.wav", "--set", "output.token_file={}/token", "--sink=tcp://127.0.0.1:0"],
        ["status", "--sink=unix://{}/a.sock"],
        ["train", "data", "--output={}/no/a.sgm"],
        ["train", "{}/data", "-o", "a.sgm"],
        ["evaluate", "data", "--report={}/no/page"],
        ["explain", "a.wav", "--at=1", "--picture={}/no/a.png"],
        ["demo", "--picture={}/no/a.png"],
    ],
)
def test_C16_no_folder_is_ever_called_like_a_home_directory(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]
) -> None:
    (home := tmp_path / "home").mkdir()
    (working := tmp_path / "working").mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.chdir(working)
    code, _, err = run_cli(capsys, *(argument.format("~") for argument in arguments))
    assert code != 0
    assert str(home) in err
    assert list(working.iterdir()) == []
    code, _, err = run_cli(capsys, *(argument.format("~nobody9") for argument in arguments))
    assert code in (64, 66, 78)
    assert "there is no user nobody9" in err
    assert list(working.iterdir()) == []
