"""Blocks of code in the documents: found, taken apart into commands, and run in a folder of generated recordings."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from streamgmm.dataset.dataset import read_dataset
from streamgmm.demo.backgrounds import room
from streamgmm.demo.recordings import write_training_set, write_wav
from streamgmm.settings.config import Config
from streamgmm.settings.training import TrainingSection
from streamgmm.training.enrolment.cache_file import save_with_cache
from streamgmm.training.enrolment.training_cache import make_cache
from streamgmm.training.trainer import train

PROJECT = Path(__file__).parent.parent
PAGES = [PROJECT / "README.md", PROJECT / "systemd" / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]

_FENCED = re.compile(r"^```([^\n`]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# A paragraph of code by its indentation alone, after an empty line.
_INDENTED = re.compile(r"(?<=\n\n)(?: {4}\S[^\n]*\n)+")
_SEPARATORS = set("();<>|&")
_LEADING = {"sudo", "do", "then", "else", "while", "if", "!", "{"}


class Block(NamedTuple):
    """A block of code.

    Attributes:
        kind: what follows the fence, such as `sh live` or `yaml title="rules.yml"`; empty for none.
        text: its lines.
    """

    kind: str
    text: str


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of a page."""
    text = page.read_text()
    indented = [Block("", re.sub("^ {4}", "", block, flags=re.MULTILINE)) for block in _INDENTED.findall(text)]
    return [Block(*found) for found in _FENCED.findall(text)] + indented


def commands_of(block: Block) -> list[list[str]]:
    """Return the arguments of every `streamgmm` that a block of shell starts, in pipes and loops too."""
    commands: list[list[str]] = []
    for line in _logical_lines(block.text):
        command: list[str] = []
        for token in [*_tokens(line), ";"]:
            if set(token) <= _SEPARATORS:
                commands.append(command)
                command = []
            else:
                command.append(token)
    return [arguments for command in commands if (arguments := _arguments(command)) is not None]


def _tokens(line: str) -> list[str]:
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    return list(lexer)


def _logical_lines(text: str) -> list[str]:
    """Return the lines of a script, joined where a quote or a backslash continues them."""
    lines = [""]
    for line in text.splitlines():
        lines[-1] += line
        if lines[-1].endswith("\\"):
            lines[-1] = lines[-1][:-1] + " "
            continue
        try:
            _tokens(lines[-1])
        except ValueError:
            lines[-1] += "\n"
            continue
        lines.append("")
    return lines


def _arguments(command: list[str]) -> list[str] | None:
    """Return the arguments of `streamgmm`; None for another command."""
    words = iter(command)
    for word in words:
        if word.rpartition("/")[2] == "streamgmm":
            return list(words)
        if word not in _LEADING and not re.match(r"\w+=", word):
            return None
    return None


def make_workplace(folder: Path) -> Path:
    """Lay out what the documents speak of: recordings of the demo, a room, a kettle, and a model with its memory."""
    write_training_set(folder / "recordings", 5, 0, 16000)
    (folder / "room").mkdir()
    evening = 0.01 * room(np.random.default_rng(1), 30 * 16000, 16000)
    write_wav(folder / "room" / "evening.wav", evening.astype(np.float32), 16000)
    (folder / "kitchen").mkdir()
    for number in range(4):
        kettle = _whistle(np.random.default_rng(number), 16000)
        write_wav(folder / "kitchen" / f"kettle_{number}.wav", kettle, 16000)
    config = Config(training=TrainingSection(search=False, n_speed_copies=0, n_noise_copies=0))
    training = train(read_dataset(folder / "recordings"), config, name="my")
    has_cepstra = training.model.classifier.cepstra is not None
    save_with_cache(
        training.model, make_cache(training.clips, training.task, has_cepstra=has_cepstra), folder / "my.sgm"
    )
    return folder


def _whistle(rng: np.random.Generator, rate_hz: int) -> np.ndarray:
    """Two seconds of a kettle, a little different each time."""
    times_s = np.arange(2 * rate_hz) / rate_hz
    pitch_hz = rng.uniform(1800.0, 2400.0) + 300.0 * times_s
    tones = np.sin(2.0 * np.pi * np.cumsum(pitch_hz) / rate_hz)
    return 0.1 * tones + 0.03 * rng.standard_normal(times_s.size)


def shell(script: str, folder: Path, **env: str) -> subprocess.Popen[str]:
    """Start a block of shell in the workplace."""
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
        env={**os.environ, **env, "PATH": path, "PYTHONPATH": str(PROJECT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
