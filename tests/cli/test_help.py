"""The help of every command is held by a file; STREAMGMM_REGENERATE=1 in the environment renews them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from streamgmm.cli.main import COMMANDS
from tests.cli.cli_rig import run_cli

GOLDEN = Path(__file__).parent / "golden"
ACTIONS = {
    "archive": ["summary"],
    "config": ["show", "check", "schema"],
    "model": ["show", "verify"],
    "control": ["pause", "resume", "off", "on"],
    "mqtt": ["remove"],
    "service": ["install", "uninstall"],
}
TOPICS = ["", *COMMANDS, *(f"{command} {action}" for command, actions in ACTIONS.items() for action in actions)]
SCREEN_LINES = 24


@pytest.mark.parametrize("topic", TOPICS)
def test_help_is_what_the_file_says_and_fits_a_screen(capsys: pytest.CaptureFixture[str], topic: str) -> None:
    shown = run_cli(capsys, *topic.split(), "--help").out
    path = GOLDEN / f"{'-'.join(['streamgmm', *topic.split()])}.txt"
    if os.environ.get("STREAMGMM_REGENERATE"):
        path.write_text(shown, encoding="utf-8")
    assert shown == path.read_text(encoding="utf-8"), "if this is meant, run once with STREAMGMM_REGENERATE=1"
    lines = shown.splitlines()
    assert len(lines) <= SCREEN_LINES
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("topic", COMMANDS)
def test_the_commands_say_the_same_of_themselves_as_the_overview(
    capsys: pytest.CaptureFixture[str], topic: str
) -> None:
    assert run_cli(capsys, "--help", topic).out == run_cli(capsys, "--help").out
