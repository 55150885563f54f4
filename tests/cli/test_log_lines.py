"""What a run logs, and how its lines are marked for the journal."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import pytest

from streamgmm.cli.log_lines import LEVELS, JournalFormatter, is_journal
from tests.cli.cli_rig import spawn_bytes


def journal_of(path: Path, *arguments: object, variable: str = "") -> list[str]:
    """The lines on the stderr of a command that is told that `path` is the journal."""
    with path.open("wb") as file:
        status = os.fstat(file.fileno())
        environment = os.environ | {"JOURNAL_STREAM": variable or f"{status.st_dev}:{status.st_ino}"}
        spawn_bytes(*arguments, stderr=file, env=environment).communicate(timeout=60)
    return path.read_text().splitlines()


@pytest.fixture
def run(demo_model: Path, demo_scene: Path) -> tuple[object, ...]:
    """A run that logs at every level but that of errors: a label that its model does not have is a warning."""
    sink = "{uri: 'stdout:', labels: [bark]}"
    return ("run", "--model", demo_model, "--source", f"file:{demo_scene}", "--set", f"output.sinks=[{sink}]")


def test_lines_in_the_journal_have_their_priority(tmp_path: Path, run: tuple[object, ...]) -> None:
    lines = journal_of(tmp_path / "log", *run, "-v")
    assert {line[:14] for line in lines} >= {"<4>streamgmm: ", "<6>streamgmm: "}
    assert all(line.startswith(("<4>streamgmm: ", "<6>streamgmm: ", "<7>streamgmm: ")) for line in lines)


def test_lines_elsewhere_have_none(tmp_path: Path, run: tuple[object, ...]) -> None:
    lines = journal_of(tmp_path / "log", *run, variable="1:1")
    assert lines
    assert all(line.startswith("streamgmm: ") for line in lines)


def test_an_error_that_ends_the_command_is_one_in_the_journal(tmp_path: Path) -> None:
    lines = journal_of(tmp_path / "log", "run", "--source", "file:/no/such.wav", "--set", "decison.x=1")
    assert [line[:21] for line in lines] == ["<3>streamgmm: error: "]


@pytest.mark.parametrize(("level", "expected"), [("error", set()), ("warning", {"<4>"}), ("info", {"<4>", "<6>"})])
def test_the_level_is_the_least_that_is_logged(
    tmp_path: Path, run: tuple[object, ...], level: str, expected: set[str]
) -> None:
    lines = journal_of(tmp_path / "log", "-v", *run, "--log-level", level)
    assert {line[:3] for line in lines} == expected


def test_every_line_of_a_record_is_marked() -> None:
    formatter = JournalFormatter("streamgmm: %(message)s")
    marked = [
        formatter.format(logging.makeLogRecord({"msg": "a\nb", "levelno": level}))
        for level in (*LEVELS.values(), logging.CRITICAL)
    ]
    assert marked == [f"<{priority}>streamgmm: a\n<{priority}>b" for priority in (3, 4, 6, 7, 3)]


def test_a_closed_descriptor_is_no_journal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", "0:0")
    fd = os.open(os.devnull, os.O_WRONLY)
    os.close(fd)
    assert not is_journal(fd)
