"""No command overwrites what it reads: outputs are compared with inputs before any work."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamgmm.cli.clashes import INPUTS, MODELS, RESULTS
from streamgmm.cli.main import COMMANDS, make_parser
from tests.cli.cli_rig import run_cli

MODEL = b"\x7b\x01\0\0\0\0\0\0" + b'{"__metadata__":{}}'
"""Begins as a model whose header is as long as a brace is numbered."""

USAGE, CANNOT_CREATE = 64, 73


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "recordings" / "siren").mkdir(parents=True)
    for name in ("v.wav", "recordings/siren/siren_00.wav", "s2.png", "extensionless"):
        (tmp_path / name).write_bytes(b"RIFF\0\0\0\0WAVE")
    for name in ("my.sgm", "my.sgm-memory"):
        (tmp_path / name).write_bytes(MODEL)
    (tmp_path / "recordings" / "siren_00.txt").write_text("0\t1\tsiren\n")
    (tmp_path / "c.yaml").write_text("{decision: {}}\n")
    (tmp_path / "link.sgm").symlink_to("my.sgm")
    os.link(tmp_path / "my.sgm", tmp_path / "hard.json")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def content_of(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("command", "code", "says"),
    [
        ("evaluate recordings --model my.sgm --json my.sgm", USAGE, "--json my.sgm: is an input"),
        ("evaluate recordings --model my.sgm --json ./recordings/../my.sgm", USAGE, "is an input"),
        ("evaluate recordings --model my.sgm --json link.sgm", USAGE, "is an input"),
        ("evaluate recordings --model link.sgm --json my.sgm", USAGE, "is an input"),
        ("evaluate recordings --model my.sgm --json hard.json", USAGE, "is an input"),
        ("evaluate recordings --json recordings/siren/siren_00.wav", USAGE, "lies among the inputs"),
        ("evaluate recordings --json recordings/siren_00.txt", USAGE, "lies among the inputs"),
        ("evaluate recordings --noise v.wav:10 --json v.wav", USAGE, "is an input"),
        ("evaluate recordings --background v.wav --json v.wav", USAGE, "is an input"),
        ("evaluate recordings --report page --json page/evaluation.html", USAGE, "name the same file"),
        ("explain v.wav --at 21 --model my.sgm --json v.wav", USAGE, "is an input"),
        ("explain v.wav --at 21 -c c.yaml --json c.yaml", USAGE, "is an input"),
        ("explain s2.png --at 21 --picture s2.png", USAGE, "--picture s2.png: is an input"),
        ("explain v.wav --at 21 --json new --picture ./new", USAGE, "--json and --picture name the same file"),
        ("explain v.wav --at 21 --json my.sgm", CANNOT_CREATE, "neither JSON"),
        ("explain v.wav --at 21 --json extensionless", CANNOT_CREATE, "neither JSON"),
        ("explain v.wav --at 21 --json hard.json", CANNOT_CREATE, "neither JSON"),
        ("train recordings -o t.sgm --report recordings/siren/siren_00.wav", USAGE, "lies among the inputs"),
        ("train recordings -o t.sgm --report t.sgm", USAGE, "name the same file"),
        ("train recordings -o t.sgm --report t.sgm-memory", USAGE, "memory of a model"),
        ("tune my.sgm --max-false-alarms-per-hour 1 --background v.wav --json my.sgm", USAGE, "is an input"),
        (
            "tune my.sgm --max-false-alarms-per-hour 1 --background recordings --picture recordings/siren/siren_00.wav",
            USAGE,
            "among the inputs",
        ),
        (
            "tune my.sgm --max-false-alarms-per-hour 1 --background v.wav --json new.png --picture new.png",
            USAGE,
            "name the same file",
        ),
        ("bench --json extensionless", CANNOT_CREATE, "neither JSON"),
        ("demo --picture extensionless", CANNOT_CREATE, "neither JSON"),
        ("archive summary recordings --picture recordings/siren/siren_00.wav", USAGE, "lies among the inputs"),
        ("enrol siren v.wav --model my.sgm -o v.wav", USAGE, "--output v.wav: is an input"),
    ],
)
def test_an_output_in_the_place_of_something_else_is_refused_and_nothing_changes(
    place: Path, capsys: pytest.CaptureFixture[str], command: str, code: int, says: str
) -> None:
    before = content_of(place)
    outcome = run_cli(capsys, *command.split())
    assert (outcome.code, outcome.err.count("\n")) == (code, 1), outcome.err
    assert says in outcome.err
    assert content_of(place) == before


@pytest.mark.parametrize("old", [b"", b"{}\n", b"\n {", b"<?xml", b"\x89PNG\r\n\x1a\n\0\0"])
def test_an_earlier_result_is_replaced_also_among_the_inputs(
    place: Path, capsys: pytest.CaptureFixture[str], old: bytes
) -> None:
    (place / "recordings" / "old").write_bytes(old)
    # Past this check, the recording that is not there is found.
    outcome = run_cli(capsys, "explain", "missing.wav", "--at", "1", "--json", "recordings/old")
    assert outcome.code == 66
    outcome = run_cli(capsys, "evaluate", "recordings", "--json", "recordings/old")
    assert "overwritten" not in outcome.err


def test_a_model_may_replace_itself(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outcome = run_cli(capsys, "forget", "siren", "--model", "my.sgm", "-o", "my.sgm")
    assert "overwritten" not in outcome.err


def leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not below:
        yield parser
    for command in below:
        for choice in command.choices.values():
            yield from leaves(choice)


def test_every_file_of_a_command_that_writes_results_is_an_input_or_an_output() -> None:
    files = {"CLIP", "DATA", "FILE", "MODEL", "PATH", "PLACE", "DIR"}
    known = {*INPUTS, *RESULTS, *MODELS, "keep"}
    unknown = {
        (parser.prog, action.dest)
        for parser in leaves(make_parser(COMMANDS))
        if any(action.dest in {*RESULTS, *MODELS} for action in parser._actions)
        for action in parser._actions
        if action.metavar in files and action.dest not in known
    }
    assert unknown == set()
