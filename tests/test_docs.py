"""The pages in `docs/`: their links lead somewhere, and their commands exist with these options."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from streamgmm.cli.main import _parse_arguments

PROJECT = Path(__file__).parent.parent
PAGES = [PROJECT / "README.md", PROJECT / "systemd" / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
TROUBLESHOOTING = PROJECT / "docs" / "troubleshooting.md"


def commands_of(page: Path) -> list[str]:
    """Return the lines of shell blocks that start streamgmm."""
    blocks = re.findall(r"^```sh[^\n]*\n(.*?)^```", page.read_text(), re.DOTALL | re.MULTILINE)
    return [line for block in blocks for line in block.splitlines() if line.startswith("streamgmm ")]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_relative_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)", page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("command", commands_of(TROUBLESHOOTING))
def test_each_command_exists_with_these_options(command: str) -> None:
    assert _parse_arguments(shlex.split(command)[1:]).handler is not None


def test_the_page_has_commands() -> None:
    assert len(commands_of(TROUBLESHOOTING)) > 8
