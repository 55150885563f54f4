"""The README's code blocks are run as they stand, in a folder of generated recordings."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from streamgmm.dataset.dataset import read_dataset
from streamgmm.demo.backgrounds import room
from streamgmm.demo.recordings import write_training_set, write_wav
from streamgmm.settings.config import Config
from streamgmm.settings.training import TrainingSection
from streamgmm.training.enrolment.cache_file import save_with_cache
from streamgmm.training.enrolment.training_cache import make_cache
from streamgmm.training.trainer import train
from tests.cluster_rig import require_cluster
from tests.pulse_rig import PulseServer, missing_parts
from tests.required import require_or_skip

README = (Path(__file__).parent.parent / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+(?: \w+)?)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def blocks(kind: str) -> list[str]:
    return [text for name, text in BLOCKS if name == kind]


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("readme")
    write_training_set(folder / "recordings", 5, 0, 16000)
    (folder / "room").mkdir()
    evening = 0.01 * room(np.random.default_rng(1), 30 * 16000, 16000)
    write_wav(folder / "room" / "evening.wav", evening.astype(np.float32), 16000)
    (folder / "kitchen").mkdir()
    for number in range(4):
        kettle = whistle(np.random.default_rng(number), 16000)
        write_wav(folder / "kitchen" / f"kettle_{number}.wav", kettle, 16000)
    config = Config(training=TrainingSection(search=False, n_speed_copies=0, n_noise_copies=0))
    training = train(read_dataset(folder / "recordings"), config, name="my")
    has_cepstra = training.model.classifier.cepstra is not None
    save_with_cache(
        training.model, make_cache(training.clips, training.task, has_cepstra=has_cepstra), folder / "my.sgm"
    )
    return folder


def whistle(rng: np.random.Generator, rate_hz: int) -> np.ndarray:
    """Two seconds of a kettle, a little different each time."""
    times_s = np.arange(2 * rate_hz) / rate_hz
    pitch_hz = rng.uniform(1800.0, 2400.0) + 300.0 * times_s
    tones = np.sin(2.0 * np.pi * np.cumsum(pitch_hz) / rate_hz)
    return 0.1 * tones + 0.03 * rng.standard_normal(times_s.size)


def shell(script: str, folder: Path, **env: str) -> subprocess.Popen[str]:
    # `streamgmm` is that of this interpreter, whatever else is installed.
    command = folder / "bin" / "streamgmm"
    if not command.exists():
        command.parent.mkdir()
        command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m streamgmm "$@"\n')
        command.chmod(0o755)
    path = f"{command.parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        env={**os.environ, **env, "PATH": path, "PYTHONPATH": str(Path(__file__).parent.parent)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


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


@pytest.mark.parametrize("block", blocks("python"))
def test_python_block(block: str, workplace: Path) -> None:
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}
    result = subprocess.run(
        [sys.executable, "-c", block], cwd=workplace, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout


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
