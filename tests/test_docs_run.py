"""The blocks `sh`, and the programs, of pages in `docs/` are run as they stand, in a folder of generated recordings."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.documents import PROJECT, blocks_of, make_workplace, shell
from tests.required import require_or_skip

DOCS = PROJECT / "docs"
# `docs/clients.md` is run by `tests/client`, against a daemon.
PAGES = ("start", "teach", "room", "recipes", "library", "troubleshooting", "service", "mqtt", "web", "privacy")
PROGRAMS = ("jq", "node", "ffmpeg")
RUN = [(name, block.text) for name in PAGES for block in blocks_of(DOCS / f"{name}.md") if block.kind == "sh"]


def of_kind(name: str, kind: str) -> str:
    return "".join(block.text for block in blocks_of(DOCS / f"{name}.md") if block.kind == kind)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_workplace(tmp_path_factory.mktemp("docs"))


def need_programs_of(text: str) -> None:
    for name in PROGRAMS:
        if name in text and shutil.which(name) is None:
            require_or_skip("programs", f"{name} is not installed")


@pytest.mark.timeout(900)
@pytest.mark.parametrize(("page", "block"), RUN, ids=[page for page, _ in RUN])
def test_shell_block(page: str, block: str, workplace: Path) -> None:
    need_programs_of(block)
    process = shell(block, workplace)
    output, errors = process.communicate(timeout=800)
    assert process.returncode == 0, errors
    assert output or errors  # `train` reports on stderr
    assert "Traceback" not in errors


@pytest.mark.parametrize(("kind", "command"), [("python", [sys.executable, "-c"]), ("js", ["node", "-e"])])
def test_a_program_at_the_end_of_a_pipe_counts_events(kind: str, command: list[str], workplace: Path) -> None:
    need_programs_of(command[0])
    source = "file:recordings/siren/siren_00.wav"
    records, _ = shell(f"streamgmm run --model my.sgm --source {source}", workplace).communicate(timeout=60)
    done = subprocess.run(
        [*command, of_kind("recipes", kind)], input=records, capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines()[0] == "siren 1"


@pytest.mark.parametrize("block", [b.text for b in blocks_of(DOCS / "library.md") if b.kind == "python"])
def test_an_example_of_the_library(block: str, workplace: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(
        [sys.executable, "-c", block], cwd=workplace, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_there_is_something_to_run_on_each_page_of_a_beginner() -> None:
    assert {page for page, _ in RUN} == {"start", "teach", "room", "recipes"}
