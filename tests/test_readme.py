"""The code blocks of README and manual are run as they stand, in a folder of generated recordings."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.cluster_rig import require_cluster
from tests.documents import PROJECT, make_workplace, shell
from tests.pulse_rig import PulseServer, missing_parts
from tests.required import require_or_skip

README = (PROJECT / "README.md").read_text()
MANUAL = (PROJECT / "docs" / "manual.md").read_text()
BLOCKS = re.findall(r"^```(\w+(?: \w+)?)\n(.*?)^```$", README + MANUAL, re.MULTILINE | re.DOTALL)


def blocks(kind: str) -> list[str]:
    # Each once, though the manual repeats some of the README.
    return list(dict.fromkeys(text for name, text in BLOCKS if name == kind))


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_workplace(tmp_path_factory.mktemp("readme"))


def test_quick_start_is_two_lines() -> None:
    lines = [line for block in blocks("console") for line in block.splitlines()]
    assert len(lines) == 2
    assert lines[0].endswith("streamgmm demo")
    assert lines[1].endswith("pytest")


@pytest.mark.parametrize("block", blocks("sh cluster"))
def test_shell_block_of_the_extra_cluster(block: str, workplace: Path) -> None:
    require_cluster()
    test_shell_block(block, workplace)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("block", blocks("sh"))
def test_shell_block(block: str, workplace: Path) -> None:
    if "ffmpeg" in block and not shutil.which("ffmpeg"):
        require_or_skip("ffmpeg", "ffmpeg is not installed")
    process = shell(block, workplace)
    output, errors = process.communicate(timeout=800)
    assert process.returncode == 0, errors
    assert output
    assert "Traceback" not in errors


@pytest.fixture(scope="module")
def sound_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PulseServer]:
    if missing := missing_parts():
        require_or_skip("pulse", f"missing {', '.join(missing)}")
    server = PulseServer(tmp_path_factory.mktemp("pulse"))
    server.start()
    yield server
    server.close()


@pytest.mark.parametrize("block", blocks("sh live"))
def test_live_shell_block_listens_until_it_is_stopped(block: str, workplace: Path, sound_server: PulseServer) -> None:
    process = shell(block, workplace, **sound_server.changes)
    said = []
    for line in process.stderr or ():
        said.append(line)
        if "state=ok" in line:
            break
    else:
        pytest.fail("".join(said))
    os.killpg(process.pid, signal.SIGTERM)
    output, errors = process.communicate(timeout=10)
    assert "Traceback" not in errors
    if "--format" not in block:
        assert '"type":"hello"' in output
        assert '"reason":"SIGTERM"' in output


PROMISES = README.split("## What it promises")[1].split("\n## ")[0]


@pytest.mark.parametrize("command", sorted(set(re.findall(r"`((?:pytest|python -m) [^`]*)`", PROMISES))))
def test_what_a_promise_is_proved_by_is_there(command: str) -> None:
    program, *words = shlex.split(command)
    if program == "python":
        assert find_spec(words[1]) is not None
        return
    place, _, chosen = (*words, "", "")[:3]
    paths = [Path(place)] if place.endswith(".py") else Path(place).rglob("test_*.py")
    names = re.findall(r"def (test_\w+)", "".join(path.read_text() for path in paths))
    assert names
    assert all(any(part in name for name in names) for part in chosen.split(" or "))
